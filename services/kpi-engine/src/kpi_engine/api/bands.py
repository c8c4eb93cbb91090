"""Who is in which band now, since when, and why."""

from uuid import UUID

from contracts.windows import WindowName, window_days
from fastapi import APIRouter
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, directory, page_of, route_policy, visibility
from servicekit import router as door_router
from servicekit.cooperative import iterate_cooperatively

from kpi_engine.actions.people import People
from kpi_engine.model.bands import Bands
from kpi_engine.model.document import Unit
from kpi_engine.store import models, stays

router: APIRouter = door_router(tags=["bands"])


class JudgedWindow(BaseModel):
    """The value and band of a KPI in one window."""

    window: WindowName
    value: str | None
    sample: int
    band: str | None


class Edge(BaseModel):
    """A band begins at `start` (None: no lower end)."""

    name: str
    title: dict[str, str]
    start: str | None


class AppliedTarget(BaseModel):
    """Whose edges judged the window of entering. `when` None: the model's own, because no target fitted."""

    when: str | None
    why: str
    edges: list[Edge]


class BandNow(BaseModel):
    """`rank` 0 is the best band; `at_window` is the one at which it was entered, on the `evidence`; `partial`:
    there is more of that, of days on which the caller may not see this agent. Titles are by language; values are in
    `unit`."""

    agent_id: UUID
    agent: str | None
    name: str | None
    kpi: str
    kpi_title: dict[str, str]
    unit: Unit
    model_version: int
    band: str
    band_title: dict[str, str]
    rank: int | None
    at_window: WindowName
    from_band: str | None
    from_band_title: dict[str, str] | None
    band_event_id: UUID
    evidence: list[JudgedWindow]
    partial: bool = False
    target: AppliedTarget


@router.get("/bands")
@route_policy(reach="people")
async def list_bands(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str | None = None,
    team: str | None = None,
    kpi: str | None = None,
) -> Page[BandNow]:
    """The band each agent is in now, of those the caller may see on a day of the stay, and in `team` today. Agents who
    are in none are not listed."""
    visible = await visibility.load_visibility(session, caller, agent=agent, team=team)
    after = page.values(str, UUID)
    catalogue = await models.load_catalogue(session)
    banded = {each.kpi: each.model.bands for each in catalogue.models.values() if each.model.bands}
    documents = {each.kpi: each.model.document for each in catalogue.models.values()}
    kpis = [name for name in banded if kpi in (None, name)]
    rows = await stays.load_stays_page(session, kpis=kpis, visible=visible, after=after, limit=page.limit + 1)
    found = page_of(rows, page, cursor=lambda row: [row.kpi, str(row.agent_id)])
    ids = {row.agent_id for row in found.items}
    known = await directory.load_people(session, ids)
    people = People(known, await directory.load_org_units(session))
    seen = await visible.filter_visible_windows(
        session, {(row.agent_id, each["window"]) for row in found.items for each in row.entry}
    )
    items: list[BandNow] = []
    async for row in iterate_cooperatively(found.items):
        bands = banded[row.kpi]
        person = known.get(row.agent_id)
        shown = [window for window in row.entry if (row.agent_id, window["window"]) in seen]
        items.append(
            BandNow(
                agent_id=row.agent_id,
                kpi=row.kpi,
                model_version=row.model_version,
                band=row.band,
                from_band=row.from_band,
                kpi_title=documents[row.kpi].title,
                unit=documents[row.kpi].unit,
                band_title=bands.title(row.band),
                from_band_title=bands.title(row.from_band) if row.from_band else None,
                agent=person.slug if person else None,
                name=person.display_name if person else None,
                rank=bands.rank(row.band),
                at_window=row.entered,
                band_event_id=row.id,
                evidence=[JudgedWindow.model_validate(window) for window in shown],
                partial=len(shown) < len(row.entry),
                target=_applied_target(bands, row.agent_id, people, row.entered),
            )
        )
    return Page[BandNow](items=items, next=found.next)


def _applied_target(bands: Bands, agent_id: UUID, people: People, window: str) -> AppliedTarget:
    days = window_days(window)
    assert days is not None, window
    day = days[0]
    edges, target = bands.edges_for(people.on_day(agent_id, day))
    if target is None:
        why = f"no target fits this person on {day}" if bands.targets else "the model has no targets"
    else:
        conditions, priority = target.specificity
        why = f"of the targets that fit this person on {day} it is the most specific (conditions {conditions}, priority {priority})"
    shown = [
        Edge(
            name=edge.name,
            title=bands.title(edge.name),
            start=None if edge.start is None else f"{edge.start.normalize():f}",
        )
        for edge in edges
    ]
    return AppliedTarget(when=target.when if target else None, why=why, edges=shown)
