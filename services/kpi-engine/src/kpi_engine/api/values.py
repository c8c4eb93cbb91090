"""Values, and why they are so."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from contracts.windows import WindowName, window_end, window_name
from fastapi import APIRouter, Query
from pydantic import BaseModel
from servicekit import CallerDep, DaysDep, PageDep, WorkSession, directory, page_of, route_policy, visibility
from servicekit import router as door_router
from servicekit.cooperative import iterate_cooperatively
from servicekit.errors import FieldProblem, Invalid
from servicekit.times import DaySpan
from servicekit.visibility import VisibilityFilter
from storage import Session

from kpi_engine.api.answers import Answer, render_answer
from kpi_engine.api.models import ModelPlan, render_plan, require_published
from kpi_engine.model.columns import SOURCE_COLUMNS, WITH_ATTRIBUTES
from kpi_engine.model.document import Direction, Unit
from kpi_engine.model.functions import text_of
from kpi_engine.model.numbers import decimal_text, to_exact
from kpi_engine.store import models, partials, values, workday_checks
from kpi_engine.store.models import PublishedModel
from kpi_engine.store.values import ExplainedFactRow, Grain, ValueQuery, ValueRow

router: APIRouter = door_router(tags=["values"])

_DEFAULT_DAYS = 28
_MAX_SHOWN = 1000


class CutValue(Answer, DaySpan):
    """`key`: the agent's or org unit's id, the queue, the attribute's value; None where there is none. `agent_id` and
    `agent`, the slug, only where the cut is by agent. `partial`: there may be more of it than the caller sees, such as the
    rest of a queue or an agent's days in another team. `from` and `to`: the days of the window that were asked for."""

    key: str | None
    name: str | None
    agent_id: UUID | None = None
    agent: str | None = None
    window: WindowName
    partial: bool = False


class Values(DaySpan):
    """`whose`: of everyone's facts, of those of people whom the caller may see, or of the agent or team `asked` for. By
    queue, hour, attribute and in total, whoever leads people sees everyone's where facts without an agent count: a part of
    them would say something else. `held` facts, whose agent or call is not known yet, and those `without_agent` would
    count and have no place in this answer."""

    kpi: str
    model_version: int
    unit: Unit
    direction: Direction
    by: str | None
    grain: Grain
    whose: Literal["everyone", "visible", "asked"]
    held: int
    without_agent: int
    items: list[CutValue]
    next: str | None = None


@router.get("/kpis/{kpi}/values")
@route_policy(reach="people")
async def list_values(
    kpi: str,
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    days: DaysDep,
    by: Annotated[
        str,
        Query(
            description="agent, team, org_unit, site, queue, hour (in the tenant's time), attributes.X; nothing: all together"
        ),
    ] = "",
    grain: Grain = "workday",
    agent: str | None = None,
    team: str | None = None,
) -> Values:
    """Values of the days on which the caller may see somebody, or of those of them in `agent` and `team` (its people of
    the day), each by id or slug. `window` is the ISO 8601 name of each: of the workday, week, month or range."""
    published = await require_published(session, kpi)
    _check_cut(published, by)
    visible = await visibility.load_visibility(session, caller, agent=agent, team=team)
    today = caller.today if visible.agent is None else await directory.today_of(session, visible.agent)
    first, last = days.within(today, days=_DEFAULT_DAYS)
    filtered = agent is not None or team is not None
    if (
        not filtered
        and by not in values.PEOPLE_DIMENSIONS
        and published.model.counts_without_agent
        and visibility.can_see_others(caller)
    ):
        visible = VisibilityFilter(caller.person_id, everyone=True)
    only_site = await values.find_only_site(session) if by == "site" else None
    cut = ValueQuery(by, grain, first, last, visible, only_site)
    after = page.values(str, date.fromisoformat)
    rows = await values.load_values(session, published, cut, after=after, limit=page.limit + 1)
    found = page_of(rows, page, cursor=lambda row: [row.key or "", row.window.isoformat()])
    keys = {row.key for row in found.items if row.key}
    named = await values.load_names(session, by, keys) if by in values.PEOPLE_DIMENSIONS else {}
    partial = await _partial_predicate(session, published, cut, found.items)
    model = published.model
    document, answer = model.document, model.compute_agent_value if cut.of_people else model.plan.compute_value
    return Values(
        kpi=kpi,
        model_version=published.version,
        unit=document.unit,
        direction=document.direction,
        by=by or None,
        grain=grain,
        first=first,
        last=last,
        whose="asked" if filtered else "everyone" if visible.everyone else "visible",
        **(await values.count_left_out(session, published, cut))._asdict(),
        items=[
            CutValue(
                key=row.key,
                **_name_fields(by, row.key, named),
                window=window_name(grain, row.window, last),
                first=max(row.window, first),
                last=min(window_end(grain, row.window, last), last),
                partial=partial(row),
                **render_answer(answer(row.components, row.sample, parts=True)).model_dump(),
            )
            async for row in iterate_cooperatively(found.items)
        ],
        next=found.next,
    )


async def _partial_predicate(
    session: Session, published: PublishedModel, cut: ValueQuery, rows: Sequence[ValueRow]
) -> Callable[[ValueRow], bool]:
    """A test of whether a row leaves out people whom the caller may not see."""
    visible = cut.visible
    if visible.is_unrestricted:
        return lambda row: False
    if cut.by in ("team", "org_unit", "site") and visible.agent is None:
        return lambda row: row.key is None or UUID(row.key) not in visible.units
    if cut.by != "agent" and visible.agent is None:
        return lambda row: True
    agents = [visible.agent] if visible.agent else [UUID(row.key) for row in rows if row.key]
    hidden = await values.find_hidden_windows(session, published, cut, agents)
    return lambda row: (visible.agent or UUID(row.key or ""), row.window) in hidden


def _check_cut(published: PublishedModel, by: str) -> None:
    cure = "agent, team, org_unit, site, queue, hour, attributes.X, or nothing"
    if by not in ("", *values.PEOPLE_DIMENSIONS, "queue", "hour") and not re.fullmatch(
        r"attributes\.[^\x00]{1,200}", by
    ):
        raise Invalid(
            "unknown-cut",
            f"Values cannot be cut by `{by}`.",
            errors=[FieldProblem(pointer="/by", problem="unknown", cure=cure)],
        )
    source = published.model.source
    if (by == "queue" and source != "legs") or (by.startswith("attributes.") and source not in WITH_ATTRIBUTES):
        raise Invalid("unknown-cut", f"Facts of the source `{source}` have no `{by}`.")


def _name_fields(by: str, key: str | None, named: dict[str, dict[str, str]]) -> dict[str, Any]:
    if key is None:
        return {"name": None}
    known = named.get(key, {"name": key, "slug": None})
    of_agent = {"agent_id": key, "agent": known["slug"]} if by == "agent" else {}
    return {"name": known["name"], **of_agent}


class ExplainedFact(BaseModel):
    """One fact: what it gives to each aggregate, or why it does not count."""

    id: UUID
    leg: int
    version: int
    source: str | None
    external_id: str | None
    queue: str | None
    workday: date
    started_at: datetime
    counts: bool
    why_not: list[str] = []
    contribution: dict[str, str | None] = {}


class Explanation(DaySpan):
    """`formula` and `silence` in words; `answer` over the whole range; `items`: the facts.
    `partial`: only of the days on which the caller may see this agent; there are others in the range."""

    kpi: str
    model_version: int
    formula: ModelPlan
    unit: Unit
    agent_id: UUID
    agent: str
    name: str
    partial: bool = False
    answer: Answer
    items: list[ExplainedFact]
    next: str | None = None


@router.get("/kpis/{kpi}/explain")
@route_policy(reach="people")
async def explain_value(
    kpi: str,
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str,
    days: DaysDep,
) -> Explanation:
    """Why an agent's number is so: every fact that counts with what it gives, every other one with the reason."""
    published = await require_published(session, kpi)
    person = await directory.find_person(session, agent)
    first, last = days.within(await directory.today_of(session, person.id), days=_DEFAULT_DAYS)
    plan = published.model.plan
    cut = ValueQuery("agent", "total", first, last, await visibility.load_visibility(session, caller, agent=agent))
    whole = await values.load_values(session, published, cut, after=None, limit=1)
    answer = (
        published.model.compute_agent_value(whole[0].components, whole[0].sample, parts=True)
        if whole
        else plan.compute_value([], 0)
    )
    after = page.values(datetime.fromisoformat, UUID, int)
    rows = await values.load_explained_facts(session, published, cut, after=after, limit=page.limit + 1)
    found = page_of(rows, page, cursor=lambda row: [row.started_at.isoformat(), str(row.id), row.leg])
    return Explanation(
        kpi=kpi,
        model_version=published.version,
        formula=render_plan(published.model),
        unit=published.model.document.unit,
        agent_id=person.id,
        agent=person.slug,
        name=person.display_name,
        first=first,
        last=last,
        partial=bool(await values.find_hidden_windows(session, published, cut, [person.id])),
        answer=render_answer(answer),
        items=[_explained(published, row) async for row in iterate_cooperatively(found.items)],
        next=found.next,
    )


def _explained(published: PublishedModel, row: ExplainedFactRow) -> ExplainedFact:
    plan = published.model.plan
    counts = row.counts and not row.void and not row.held
    why_not = ["it was taken back"] if row.void else ["its call is not known yet"] if row.held else []
    for condition, holds in zip(plan.conditions, row.conditions, strict=True):
        if holds is not True:
            why_not.append(f"`{text_of(condition)}` {'does not hold' if holds is False else 'is unknown'}")
    contribution = {
        component.name: None if amount is None else decimal_text(to_exact(amount))
        for component, amount in zip(plan.components, row.contributions, strict=True)
    }
    return ExplainedFact(
        id=row.id,
        leg=row.leg,
        version=row.version,
        source=row.source,
        external_id=row.external_id,
        queue=row.queue,
        workday=row.workday,
        started_at=row.started_at,
        counts=counts,
        why_not=why_not,
        contribution=contribution if counts else {},
    )


class Difference(BaseModel):
    """A stored partial that is not what the facts give; None where there is nothing on that side."""

    kpi: str
    agent_id: UUID
    agent: str | None
    name: str | None
    workday: date
    stored_sample: int | None
    facts_sample: int | None
    stored: Answer | None
    facts: Answer | None


FactKind = Literal["legs", "agent_states", "submissions"]


class Misplaced(BaseModel):
    """A fact on another workday than the directory gives it."""

    kind: FactKind
    id: UUID
    leg: int
    external_id: str | None
    agent_id: UUID | None
    workday: date
    directory_workday: date


class Reconciliation(BaseModel):
    """`expected` is always 0; `found` counts differences of values and facts on wrong days (`misplaced`), of either of which
    the first thousand are shown."""

    compared: list[str]
    expected: int = 0
    found: int
    differences: list[Difference]
    misplaced: list[Misplaced] = []


@router.get("/reconciliation")
@route_policy(roles=("tenant_admin", "quality_analyst", "integration"))
async def reconcile_values(session: WorkSession, caller: CallerDep, kpi: str | None = None) -> Reconciliation:
    """Compares what the stream counted with a recomputation from the facts, for one KPI or all, and the workdays of these
    facts with those that the directory gives now."""
    chosen = (
        [await require_published(session, kpi)] if kpi else list((await models.load_catalogue(session)).models.values())
    )
    shown: list[tuple[PublishedModel, partials.DifferenceRow]] = []
    of_all = 0
    for published in chosen:
        rows = await partials.find_differences(session, published, limit=_MAX_SHOWN)
        of_all += rows[0].of_all if rows else 0
        shown += [(published, row) for row in rows[: _MAX_SHOWN - len(shown)]]
    named = await values.load_names(session, "agent", {str(row.agent_id) for _, row in shown})
    differences = [
        _difference(published, row, named.get(str(row.agent_id)))
        async for published, row in iterate_cooperatively(shown)
    ]
    misplaced = await workday_checks.find_misplaced_facts(
        session, {each.model.source for each in chosen} if kpi else SOURCE_COLUMNS, _MAX_SHOWN
    )
    return Reconciliation(
        compared=[each.kpi for each in chosen],
        found=of_all + (misplaced[0].of_all if misplaced else 0),
        differences=differences,
        misplaced=[Misplaced.model_validate(each, from_attributes=True) for each in misplaced],
    )


def _difference(published: PublishedModel, row: partials.DifferenceRow, person: dict[str, str] | None) -> Difference:
    return Difference(
        kpi=published.kpi,
        agent_id=row.agent_id,
        agent=person["slug"] if person else None,
        name=person["name"] if person else None,
        workday=row.workday,
        stored_sample=row.stored_sample,
        facts_sample=row.facts_sample,
        stored=_answer_or_none(published, row.stored_sample, row.stored_components),
        facts=_answer_or_none(published, row.facts_sample, row.facts_components),
    )


def _answer_or_none(
    published: PublishedModel, sample: int | None, components: partials.Components | None
) -> Answer | None:
    """None without a partial, and for one of another version of the model, which has other components."""
    if sample is None or components is None or len(components) != len(published.model.plan.components):
        return None
    return render_answer(published.model.plan.compute_value(components, sample))
