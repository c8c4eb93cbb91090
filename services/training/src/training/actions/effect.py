"""Computes a template's effect from the stays in bands that this service knows."""

from datetime import date
from functools import partial
from uuid import UUID

from pydantic import BaseModel
from servicekit import PageQuery, directory, page_of
from servicekit.cooperative import iterate_cooperatively
from servicekit.door import DayRange
from servicekit.visibility import VisibilityFilter
from servicekit.workers import run_in_worker
from storage import Session

from training.actions.templates import require_head
from training.model import effect as model
from training.store import assignments, stays

_DEFAULT_WEEKS = 12
_TIMEOUT_SECONDS = 20.0


class Band(BaseModel):
    """A band of a KPI, by their names."""

    kpi: str
    band: str


class TrainedPerson(model.TrainedAgent):
    """A trained agent with slug and name; None where the directory no longer knows the agent."""

    agent: str | None
    name: str | None


class TemplateEffect(model.Effect):
    """`bands`: those the template is given for. `agents`: those on this page, by the day of their completion; everything else
    is of all of them. `next` is the cursor of the page after this one. `simulated`: the tenant's people are not real."""

    template: str
    agents: list[TrainedPerson]  # pyright: ignore[reportIncompatibleVariableOverride]
    bands: list[Band]
    note: str
    simulated: bool
    simulation_note: str | None
    next: str | None = None


async def compute_template_effect(
    session: Session,
    slug: str,
    *,
    visible: VisibilityFilter,
    days: DayRange,
    page: PageQuery,
) -> TemplateEffect:
    """The effect over the people whom the caller sees. Without dates: the last twelve weeks. Raises NotFound."""
    await require_head(session, slug)
    tenant = await directory.load_tenant(session)
    completions = await assignments.load_completions(session, slug, visible)
    workdays = await directory.load_workdays(session, {agent for agent, _ in completions})
    today = workdays.workday_of(None, session.now)
    first, last = days.within(today, days=_DEFAULT_WEEKS * 7 + 1)
    bands = await assignments.find_bands_given_for(session, slug)
    completed = {agent: workdays.workday_of(agent, at) for agent, at in completions}
    compute = partial(
        model.compute_effect,
        first=first,
        last=last,
        today=today,
        today_by_agent={agent: workdays.workday_of(agent, session.now) for agent in completed},
    )
    known_stays = await stays.load_visible_stays(session, {kpi for kpi, _ in bands}, visible)
    found = await run_in_worker(compute, known_stays, bands, completed, seconds=_TIMEOUT_SECONDS)
    after = page.values(date.fromisoformat, UUID)
    rest = [each for each in found.agents if after is None or (each.completed_on, each.agent_id) > after]
    shown = page_of(rest[: page.limit + 1], page, lambda each: [each.completed_on.isoformat(), str(each.agent_id)])
    people = await directory.load_people(session, [each.agent_id for each in shown.items])
    trained = [
        TrainedPerson(
            **each.model_dump(),
            agent=people[each.agent_id].slug if each.agent_id in people else None,
            name=people[each.agent_id].display_name if each.agent_id in people else None,
        )
        async for each in iterate_cooperatively(shown.items)
    ]
    return TemplateEffect(
        **found.model_dump(exclude={"agents"}),
        agents=trained,
        template=slug,
        bands=[Band(kpi=kpi, band=band) for kpi, band in sorted(bands)],
        note=model.NOTE,
        simulated=tenant.simulated,
        simulation_note=model.SIMULATED if tenant.simulated else None,
        next=shown.next,
    )
