"""A template's effect, from the stays in bands this service has heard of."""

import asyncio

from pydantic import BaseModel
from servicekit import directory
from servicekit.door import DayRange
from servicekit.visibility import Visible
from storage import Session

from training.actions.templates import require_head
from training.model import effect as model
from training.store import assignments, stays

_WEEKS = 12


class Band(BaseModel):
    kpi: str
    band: str


class TrainedPerson(model.TrainedAgent):
    agent: str | None
    name: str | None


class TemplateEffect(model.Effect):
    """`bands`: those the template is given for. `simulated`: the tenant's people are not real."""

    template: str
    agents: list[TrainedPerson]  # pyright: ignore[reportIncompatibleVariableOverride]
    bands: list[Band]
    note: str
    simulated: bool
    simulation_note: str | None


async def effect_of(
    session: Session,
    slug: str,
    *,
    visible: Visible,
    days: DayRange,
) -> TemplateEffect:
    """Of whom the caller sees. Without dates: the last twelve weeks. Raises NotFound."""
    await require_head(session, slug)
    tenant = await directory.tenant(session)
    completions = await assignments.completions(session, slug, visible)
    workdays = await directory.workdays(session, {agent for agent, _ in completions})
    today = workdays.of(None, session.now)
    first, last = days.within(today, days=_WEEKS * 7 + 1)
    bands = await assignments.bands_given_for(session, slug)
    completed = {agent: workdays.of(agent, at) for agent, at in completions}
    found = await asyncio.to_thread(
        model.effect,
        await stays.stays_of(session, {kpi for kpi, _ in bands}, visible),
        bands,
        completed,
        first=first,
        last=last,
        today=today,
        todays={agent: workdays.of(agent, session.now) for agent in completed},
    )
    people = await directory.people(session, completed)
    trained = [
        TrainedPerson(
            **each.model_dump(),
            agent=people[each.agent_id].slug if each.agent_id in people else None,
            name=people[each.agent_id].display_name if each.agent_id in people else None,
        )
        for each in found.agents
    ]
    return TemplateEffect(
        **found.model_dump(exclude={"agents"}),
        agents=trained,
        template=slug,
        bands=[Band(kpi=kpi, band=band) for kpi, band in sorted(bands)],
        note=model.NOTE,
        simulated=tenant.simulated,
        simulation_note=model.SIMULATED if tenant.simulated else None,
    )
