"""Bands: derived again for whom something changed, and told as a difference to what was told before."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal
from uuid import UUID

from contracts import Attributes, Mode, derived_id
from contracts.envelope import ReasonValues
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from storage import Session

from kpi_engine.actions.people import NO_PEOPLE, People
from kpi_engine.model.bands import Bands, Judged, LastLegs, Stay, Transition, derive, monday_of, transitions
from kpi_engine.store import partials, stays
from kpi_engine.store.facts import NOBODY
from kpi_engine.store.models import Catalogue, Published
from kpi_engine.store.partials import Change

Causes = Mapping[str, Attributes]
Why = Literal["corrected_call", "new_kpi_version", "other_target"]
WHY: Mapping[Why, str] = {
    "corrected_call": "a correction",
    "new_kpi_version": "a new version of the KPI",
    "other_target": "another target applies",
}
"""Why something that was told no longer holds: the code, and how logs say it. People read it in their own language."""


FROM_THE_START = date.min
_MARGIN = 3


async def derive_bands(
    session: Session,
    touched: Iterable[tuple[Published, Mapping[UUID, date]]],
    *,
    mode: Mode,
    causes: Causes | None = None,
    reason: Why = "corrected_call",
    past_is_history: bool = False,
    people: People | None = None,
) -> None:
    """Derives the bands of these models for these agents (whom the caller has locked), of the session's one tenant,
    each from the day on which something changed: what was told of windows before it holds.

    `past_is_history`: stays that have ended already are told as history, so that nobody acts on them. `people`: the
    `judged_people` among them, where they have been loaded.
    """
    wanted = {
        (each.kpi, agent_id): (each, monday_of(first) if each.model.bands.weekly else first)
        for each, firsts in touched
        if each.model.bands
        for agent_id, first in firsts.items()
        if agent_id != NOBODY
    }
    if not wanted:
        return
    if people is None:
        people = await judged_people(session, [(each, agent_id) for (_, agent_id), (each, _) in wanted.items()])
    begins = {key: _bands(published).label(first) for key, (published, first) in wanted.items()}
    known, taken_back = await stays.announced(session, session.tenant, begins)
    windows = await _windows(session, wanted, begins, people)
    told: list[stays.Told] = []
    events: list[BandEntered | BandStayed | BandLeft | BandCorrected] = []
    for (kpi, agent_id), (published, _) in sorted(wanted.items(), key=lambda item: item[0]):
        bands, begin, judged = _bands(published), begins[kpi, agent_id], windows.get((kpi, agent_id), [])
        announced = known.get((kpi, agent_id), [])
        lasting = next((Stay(stay.band, stay.entered) for stay in announced if stay.entered < begin), None)
        derived = derive(bands.rules, judged, begin=begin, current=lasting)

        def fresh_id(stay: Stay, kpi: str = kpi, agent_id: UUID = agent_id) -> UUID:
            times = taken_back.get((kpi, agent_id, stay.band, stay.entered), 0)
            return derived_id("band", session.tenant, kpi, agent_id, stay.band, stay.entered, times)

        for change in transitions(announced, derived, fresh_id, begin=begin):
            told.append((published, agent_id, change))
            over = past_is_history and change.stay is not None and change.stay.left is not None
            events.append(_event(published, bands, agent_id, change, "history" if over else mode, judged, reason))
    for event, version in zip(events, await stays.next_versions(session, len(events)), strict=True):
        numbered = event.model_copy(update={"version": version})
        session.emit(numbered, cause=(causes or {}).get(event.key(session.tenant)))
    await stays.save(session, session.tenant, told)


Wanted = Mapping[tuple[str, UUID], tuple[Published, date]]
"""By KPI and agent: the model, and the first day that counts."""


def _bands(published: Published) -> Bands:
    assert published.model.bands is not None, "only models with bands are derived"
    return published.model.bands


async def judged_people(session: Session, agents: Iterable[tuple[Published, UUID]]) -> People:
    """Those of the agents of whom a model asks who they are."""
    asked = {agent_id for each, agent_id in agents if each.model.bands and each.model.bands.targets} - {NOBODY}
    return await People.load(session, asked) if asked else NO_PEOPLE


def moved(catalogue: Catalogue, changes: Iterable[Change], people: People) -> list[tuple[Published, dict[UUID, date]]]:
    """By model with bands: the agents of whom a window may have another verdict now, and the first day of it. As long as
    all verdicts are the same, so are the stays that follow from them."""
    firsts: dict[str, dict[UUID, date]] = {}
    for change in changes:
        if _may_move(catalogue.models[change.kpi], change, people):
            days = firsts.setdefault(change.kpi, {})
            days[change.agent_id] = min(days.get(change.agent_id, change.workday), change.workday)
    return [(catalogue.models[kpi], days) for kpi, days in firsts.items()]


def _may_move(published: Published, change: Change, people: People) -> bool:
    bands, answer = published.model.bands, published.model.answer_of_agents
    if bands is None or change.agent_id == NOBODY:
        return False
    if isinstance(bands.window, LastLegs):
        # The newest legs of a window may be other ones though their day reads as before.
        return True
    if bands.weekly or not change.changed:
        return change.changed
    person = people.on(change.agent_id, change.workday)
    sample, components = change.before or (0, ())
    before = bands.verdict(answer(components, sample), person) if sample else (False, None)
    return before != bands.verdict(answer(change.components, change.sample), person)


async def _windows(
    session: Session, wanted: Wanted, begins: Mapping[tuple[str, UUID], str], people: People
) -> dict[tuple[str, UUID], list[Judged]]:
    """The windows from the wanted days on, in order of time, and before them at least as many speaking ones as decide
    on them (or all there are)."""
    judged, whole = await _judged(session, wanted, people)
    short = {
        key: (each, FROM_THE_START)
        for key, (each, _) in wanted.items()
        if not whole.get(key, True)
        and sum(window.speaks and window.window < begins[key] for window in judged[key]) < _bands(each).rules.lookback
    }
    return judged if not short else judged | (await _judged(session, short, people))[0]


async def _judged(
    session: Session, wanted: Wanted, people: People
) -> tuple[dict[tuple[str, UUID], list[Judged]], dict[tuple[str, UUID], bool]]:
    """The windows, and whether there are none before them."""
    stretches: list[partials.Stretch] = []
    by_legs: dict[str, tuple[Published, dict[UUID, date]]] = {}
    for (kpi, agent_id), (published, first) in wanted.items():
        bands = _bands(published)
        if isinstance(bands.window, LastLegs):
            by_legs.setdefault(kpi, (published, {}))[1][agent_id] = first
        else:
            back = bands.rules.lookback + _MARGIN
            stretches.append(
                partials.Stretch(kpi, agent_id, first, 7 * back if bands.weekly else back, weekly=bands.weekly)
            )
    series = await partials.stretches(session, session.tenant, stretches)
    for kpi, (published, firsts) in by_legs.items():
        bands = _bands(published)
        assert isinstance(bands.window, LastLegs)
        back = bands.rules.lookback + _MARGIN
        legs = await stays.last_legs(session, session.tenant, published, bands.window, firsts, back)
        series |= {(kpi, agent_id): found for agent_id, found in legs.items()}
    judged: dict[tuple[str, UUID], list[Judged]] = {}
    for (kpi, agent_id), (rows, _) in series.items():
        published = wanted[kpi, agent_id][0]
        bands, answer = _bands(published), published.model.answer_of_agents
        judged[kpi, agent_id] = [
            bands.judge(day, answer(components, sample), people.on(agent_id, day))
            for day, sample, components in (_weeks(published, rows) if bands.weekly else rows)
        ]
    return judged, {key: whole for key, (_, whole) in series.items()}


def _weeks(published: Published, rows: Sequence[tuple[date, int, Any]]) -> list[tuple[date, int, Any]]:
    weeks: dict[date, list[tuple[int, Any]]] = {}
    for day, sample, components in rows:
        weeks.setdefault(monday_of(day), []).append((sample, components))
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
    reason: Why,
) -> BandEntered | BandStayed | BandLeft | BandCorrected:
    what: dict[str, Any] = {
        "agent_id": agent_id,
        "band_event_id": change.id,
        "kpi": published.kpi,
        "model_version": published.version,
        "band": change.band,
        "rank": bands.rank(change.band) or 0,
        "at_window": change.at,
        "mode": mode,
        "kpi_title": published.model.document.title,
        "band_title": bands.title(change.band),
        "unit": published.model.document.unit,
    }
    if change.kind == "entered" and change.stay:
        before = change.stay.from_band
        evidence = [_evidence(window) for window in change.stay.entry]
        from_rank = bands.rank(before) if before else None
        return BandEntered(
            **what,
            evidence=evidence,
            value=_last_value(evidence),
            from_band=before,
            from_rank=from_rank,
            from_band_title=bands.title(before) if before else {},
        )
    if change.kind == "stayed":
        evidence = [_evidence(window) for window in change.windows]
        return BandStayed(**what, evidence=evidence, value=_last_value(evidence), withdrawn=list(change.withdrawn))
    if change.kind == "left" and change.stay:
        after = change.stay.to_band
        evidence = [_evidence(window) for window in change.stay.exit]
        return BandLeft(
            **what,
            evidence=evidence,
            value=_last_value(evidence),
            to_band=after,
            to_rank=bands.rank(after) if after else None,
            to_band_title=bands.title(after) if after else {},
        )
    now = next((window for window in judged if window.window == change.at), None)
    reads = (
        f"{change.at} now reads {now.value} ({now.band or 'no band'})" if now else f"{change.at} has no value any more"
    )
    value = now.value if now else None
    retracts = "entered" if change.kind == "retract_entered" else "left"
    evidence = [_evidence(now)] if now else []
    values: ReasonValues = {"window": change.at, "value": value, "unit": what["unit"]}
    if now and now.band:
        values["band_title"] = bands.title(now.band)
    return BandCorrected(
        **what,
        retracts=retracts,
        reason=f"{WHY[reason]}: {reads}",
        reason_code=reason,
        reason_values=values,
        evidence=evidence,
        value=value,
    )


def _last_value(evidence: Sequence[Window]) -> str | None:
    return evidence[-1].value if evidence else None


def _evidence(window: Judged) -> Window:
    return Window(window=window.window, value=window.value, sample=window.sample, band=window.band)
