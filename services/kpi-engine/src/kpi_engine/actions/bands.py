"""Bands: derived again for whom something changed, and told as a difference to what was told before."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from contracts import Attributes, Mode, derived_id
from contracts.scores import BandCorrected, BandEntered, BandLeft, Window
from storage import Session

from kpi_engine.actions.people import NO_PEOPLE, People
from kpi_engine.model.bands import Bands, Judged, LastLegs, Stay, Transition, derive, transitions
from kpi_engine.store import partials, stays
from kpi_engine.store.facts import NOBODY
from kpi_engine.store.models import Published

Causes = Mapping[str, Attributes]


async def derive_bands(
    session: Session,
    touched: Iterable[tuple[Published, set[UUID]]],
    *,
    mode: Mode,
    causes: Causes | None = None,
    reason: str = "a correction",
    past_is_history: bool = False,
) -> None:
    """Derives the bands of these models for these agents (whom the caller has locked), of the session's one tenant.

    `past_is_history`: stays that have ended already are told as history, so that nobody acts on them.
    """
    wanted = [
        (each, each.model.bands, agents - {NOBODY})
        for each, agents in touched
        if each.model.bands and agents - {NOBODY}
    ]
    if not wanted:
        return
    everyone = set[UUID]().union(*(agents for _, _, agents in wanted))
    targeted = set[UUID]().union(*(agents for _, bands, agents in wanted if bands.targets))
    people = await People.load(session, targeted) if targeted else NO_PEOPLE
    kpis = [each.kpi for each, _, _ in wanted]
    known, taken_back = await stays.announced(session, session.tenant, kpis, everyone)
    windows = await judged_windows(session, [(each, agents) for each, _, agents in wanted], people)
    told: list[stays.Told] = []
    for published, bands, agents in wanted:
        for agent_id in sorted(agents):
            judged = windows.get((published.kpi, agent_id), [])

            def fresh_id(stay: Stay, kpi: str = published.kpi, agent_id: UUID = agent_id) -> UUID:
                times = taken_back.get((kpi, agent_id, stay.band, stay.entered), 0)
                return derived_id("band", session.tenant, kpi, agent_id, stay.band, stay.entered, times)

            for change in transitions(known.get((published.kpi, agent_id), []), derive(bands.rules, judged), fresh_id):
                told.append((published, agent_id, change))
                over = past_is_history and change.stay is not None and change.stay.left is not None
                event = _event(published, bands, agent_id, change, "history" if over else mode, judged, reason)
                session.emit(event, cause=(causes or {}).get(event.key(session.tenant)))
    await stays.save(session, session.tenant, told)


async def judged_windows(
    session: Session, wanted: list[tuple[Published, set[UUID]]], people: People
) -> dict[tuple[str, UUID], list[Judged]]:
    """All windows of these agents, in order of time, by KPI and agent."""
    everyone = set[UUID]().union(*(agents for _, agents in wanted))
    daily = [each.kpi for each, _ in wanted if each.model.bands and not isinstance(each.model.bands.window, LastLegs)]
    by_day = await partials.of_agents(session, session.tenant, daily, everyone) if daily else {}
    judged: dict[tuple[str, UUID], list[Judged]] = {}
    for published, agents in wanted:
        bands, plan = published.model.bands, published.model.plan
        assert bands is not None
        series: dict[UUID, list[tuple[date, int, Any]]]
        if isinstance(bands.window, LastLegs):
            series = await stays.last_legs(session, session.tenant, plan, bands.window, agents)
        else:
            series = {agent_id: by_day.get((published.kpi, agent_id), []) for agent_id in agents}
        for agent_id, rows in series.items():
            windows = _weeks(published, rows) if bands.window == "week" else rows
            judged[published.kpi, agent_id] = [
                bands.judge(day, plan.answer(components, sample), people.on(agent_id, day))
                for day, sample, components in windows
            ]
    return judged


def _weeks(published: Published, rows: list[tuple[date, int, Any]]) -> list[tuple[date, int, Any]]:
    weeks: dict[date, list[tuple[int, Any]]] = {}
    for day, sample, components in rows:
        weeks.setdefault(day - timedelta(days=day.weekday()), []).append((sample, components))
    plan = published.model.plan
    return [
        (monday, sum(sample for sample, _ in week), plan.merge([components for _, components in week]))
        for monday, week in weeks.items()
    ]


def _event(
    published: Published,
    bands: Bands,
    agent_id: UUID,
    change: Transition,
    mode: Mode,
    judged: list[Judged],
    reason: str,
) -> BandEntered | BandLeft | BandCorrected:
    what: dict[str, Any] = {
        "agent_id": agent_id,
        "band_event_id": change.id,
        "kpi": published.kpi,
        "model_version": published.version,
        "band": change.band,
        "rank": bands.rank(change.band) or 0,
        "at_window": change.at,
        "mode": mode,
    }
    if change.kind == "entered" and change.stay:
        before = change.stay.from_band
        evidence = [_evidence(window) for window in change.stay.entry]
        from_rank = bands.rank(before) if before else None
        return BandEntered(**what, evidence=evidence, from_band=before, from_rank=from_rank)
    if change.kind == "left" and change.stay:
        after = change.stay.to_band
        evidence = [_evidence(window) for window in change.stay.exit]
        return BandLeft(**what, evidence=evidence, to_band=after, to_rank=bands.rank(after) if after else None)
    now = next((window for window in judged if window.window == change.at), None)
    reads = (
        f"{change.at} now reads {now.value} ({now.band or 'no band'})" if now else f"{change.at} has no value any more"
    )
    retracts = "entered" if change.kind == "retract_entered" else "left"
    evidence = [_evidence(now)] if now else []
    return BandCorrected(**what, retracts=retracts, reason=f"{reason}: {reads}", evidence=evidence)


def _evidence(window: Judged) -> Window:
    return Window(window=window.window, value=window.value, sample=window.sample, band=window.band)
