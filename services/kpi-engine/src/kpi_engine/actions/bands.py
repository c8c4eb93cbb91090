"""Derives the bands of agents whose values changed, and publishes the difference to the published stays."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, Literal
from uuid import UUID

from contracts import Attributes, Mode, derived_id
from contracts.envelope import ReasonValues
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from storage import Session

from kpi_engine.actions.people import NO_PEOPLE, People
from kpi_engine.model.bands import (
    NOT_ENOUGH_DATA,
    Bands,
    EvaluatedWindow,
    LastLegs,
    PublishedStay,
    Stay,
    Transition,
    derive_stays,
    diff_stays,
    monday_of,
)
from kpi_engine.store import partials, stays
from kpi_engine.store.facts import NO_AGENT_ID
from kpi_engine.store.models import Catalogue, PublishedModel
from kpi_engine.store.partials import PartialChange

Causes = Mapping[str, Attributes]
"""By message key of an event to publish: the event that caused it."""
ChangeReason = Literal["corrected_call", "new_kpi_version", "other_target"]
"""Why a published stay no longer holds. People read the code in their own language."""
REASON_TEXTS: Mapping[ChangeReason, str] = {
    "corrected_call": "a correction",
    "new_kpi_version": "a new version of the KPI",
    "other_target": "another target applies",
}
"""The reasons as texts for logs."""

FROM_THE_START = date.min
"""As the first day that changed: all windows of the agent are derived again."""
_EXTRA_WINDOWS = 3
"""So many windows more than `lookback` are loaded before the first day, because some do not have enough data.
Where these are not enough, all windows are loaded."""


DerivationStarts = Mapping[tuple[str, UUID], tuple[PublishedModel, date]]
"""By KPI and agent: the model, and the first day that changed."""
BandEvent = BandEntered | BandStayed | BandLeft | BandCorrected


async def publish_band_changes(
    session: Session,
    first_days: Iterable[tuple[PublishedModel, Mapping[UUID, date]]],
    *,
    mode: Mode,
    causes: Causes | None = None,
    reason: ChangeReason = "corrected_call",
    past_is_history: bool = False,
    people: People | None = None,
) -> None:
    """Derives the bands of these models for agents of the session's one tenant, whom the caller has locked, and publishes
    what changed. `first_days`: by model, the agents with the first day that changed. Transitions published for earlier
    windows are unchanged.

    `past_is_history`: transitions of stays that have ended are published with the mode `history`, so that nobody acts on
    them. `people`: the result of `load_people_with_targets`, where the caller has it already.
    """
    starts = _find_starts(first_days)
    if not starts:
        return
    if people is None:
        people = await load_people_with_targets(
            session, [(each, agent_id) for (_, agent_id), (each, _) in starts.items()]
        )
    first_windows = {key: _require_bands(published).label(first) for key, (published, first) in starts.items()}
    published_stays, retraction_counts = await stays.load_published_stays(session, session.tenant, first_windows)
    windows = await _load_windows(session, starts, first_windows, people)
    transitions: list[stays.PublishedTransition] = []
    events: list[BandEvent] = []
    for key, (published, _) in sorted(starts.items(), key=lambda item: item[0]):
        agent_id, bands, evaluated = key[1], _require_bands(published), windows.get(key, [])
        for change in _find_transitions(
            bands,
            evaluated,
            published_stays.get(key, []),
            partial(_new_stay_id, session.tenant, *key, retraction_counts),
            first_window=first_windows[key],
        ):
            transitions.append((published, agent_id, change))
            is_over = change.stay is not None and change.stay.left is not None
            event_mode: Mode = "history" if past_is_history and is_over else mode
            events.append(_build_event(published, bands, agent_id, change, event_mode, evaluated, reason))
    for event, version in zip(events, await stays.next_event_versions(session, len(events)), strict=True):
        numbered = event.model_copy(update={"version": version})
        session.emit(numbered, cause=(causes or {}).get(event.key(session.tenant)))
    await stays.save_transitions(session, session.tenant, transitions)


def _find_starts(first_days: Iterable[tuple[PublishedModel, Mapping[UUID, date]]]) -> DerivationStarts:
    """The models that have bands; a day of a weekly model becomes the Monday of its week."""
    return {
        (each.kpi, agent_id): (each, monday_of(first) if each.model.bands.weekly else first)
        for each, days in first_days
        if each.model.bands
        for agent_id, first in days.items()
        if agent_id != NO_AGENT_ID
    }


def _find_transitions(
    bands: Bands,
    evaluated: Sequence[EvaluatedWindow],
    published_stays: Sequence[PublishedStay],
    new_stay_id: Callable[[Stay], UUID],
    *,
    first_window: str,
) -> list[Transition]:
    """The changes that lead from an agent's published stays to those that the windows show now."""
    current = next((Stay(stay.band, stay.entered) for stay in published_stays if stay.entered < first_window), None)
    derived = derive_stays(bands.rules, evaluated, begin=first_window, current=current)
    return diff_stays(published_stays, derived, new_stay_id, begin=first_window)


def _new_stay_id(
    tenant: str, kpi: str, agent_id: UUID, retraction_counts: Mapping[tuple[str, UUID, str, str], int], stay: Stay
) -> UUID:
    """The id of a stay that was not published, deterministic: the same stay has the same id until it is retracted."""
    retractions = retraction_counts.get((kpi, agent_id, stay.band, stay.entered), 0)
    return derived_id("band", tenant, kpi, agent_id, stay.band, stay.entered, retractions)


def _require_bands(published: PublishedModel) -> Bands:
    assert published.model.bands is not None, "a model without bands has no stays"
    return published.model.bands


async def load_people_with_targets(session: Session, agents: Iterable[tuple[PublishedModel, UUID]]) -> People:
    """Loads those of the agents for whom a model has targets."""
    ids = {agent_id for each, agent_id in agents if each.model.bands and each.model.bands.targets} - {NO_AGENT_ID}
    return await People.load(session, ids) if ids else NO_PEOPLE


def agents_to_rederive(
    catalogue: Catalogue, changes: Iterable[PartialChange], people: People
) -> list[tuple[PublishedModel, dict[UUID, date]]]:
    """By model with bands: the agents with a window that may be in another band now, and its first day. For
    changed partials only; changes of models and people derive from the start."""
    first_days: dict[str, dict[UUID, date]] = {}
    for change in changes:
        if _may_change_band(catalogue.models[change.kpi], change, people):
            days = first_days.setdefault(change.kpi, {})
            days[change.agent_id] = min(days.get(change.agent_id, change.workday), change.workday)
    return [(catalogue.models[kpi], days) for kpi, days in first_days.items()]


def _may_change_band(published: PublishedModel, change: PartialChange, people: People) -> bool:
    bands, compute_value = published.model.bands, published.model.compute_agent_value
    if bands is None or change.agent_id == NO_AGENT_ID:
        return False
    if isinstance(bands.window, LastLegs):
        # The window may hold other legs although the day's components are the same.
        return True
    if bands.weekly or not change.changed:
        return change.changed
    person = people.on_day(change.agent_id, change.workday)
    sample, components = change.before or (0, ())
    before = bands.classify(compute_value(components, sample), person) if sample else NOT_ENOUGH_DATA
    return before != bands.classify(compute_value(change.components, change.sample), person)


async def _load_windows(
    session: Session, starts: DerivationStarts, first_windows: Mapping[tuple[str, UUID], str], people: People
) -> dict[tuple[str, UUID], list[EvaluatedWindow]]:
    """The windows from the start days on, in order of time, and before them at least `rules.lookback` windows with enough
    data (or all there are)."""
    evaluated, reaches_first = await _evaluate_windows(session, starts, people)
    short = {
        key: (each, FROM_THE_START)
        for key, (each, _) in starts.items()
        if not reaches_first.get(key, True)
        and sum(window.has_enough_data and window.window < first_windows[key] for window in evaluated[key])
        < _require_bands(each).rules.lookback
    }
    return evaluated if not short else evaluated | (await _evaluate_windows(session, short, people))[0]


async def _evaluate_windows(
    session: Session, starts: DerivationStarts, people: People
) -> tuple[dict[tuple[str, UUID], list[EvaluatedWindow]], dict[tuple[str, UUID], bool]]:
    """The windows, and by KPI and agent whether they reach the first one that there is."""
    queries: list[partials.SeriesQuery] = []
    by_legs: dict[str, tuple[PublishedModel, dict[UUID, date]]] = {}
    for (kpi, agent_id), (published, first) in starts.items():
        bands = _require_bands(published)
        if isinstance(bands.window, LastLegs):
            by_legs.setdefault(kpi, (published, {}))[1][agent_id] = first
        else:
            count = bands.rules.lookback + _EXTRA_WINDOWS
            queries.append(
                partials.SeriesQuery(kpi, agent_id, first, 7 * count if bands.weekly else count, weekly=bands.weekly)
            )
    series = await partials.load_series(session, session.tenant, queries)
    for kpi, (published, first_days) in by_legs.items():
        bands = _require_bands(published)
        assert isinstance(bands.window, LastLegs)
        days_before = bands.rules.lookback + _EXTRA_WINDOWS
        legs = await stays.load_last_legs(session, session.tenant, published, bands.window, first_days, days_before)
        series |= {(kpi, agent_id): found for agent_id, found in legs.items()}
    evaluated: dict[tuple[str, UUID], list[EvaluatedWindow]] = {}
    for (kpi, agent_id), (rows, _) in series.items():
        published = starts[kpi, agent_id][0]
        bands, compute_value = _require_bands(published), published.model.compute_agent_value
        evaluated[kpi, agent_id] = [
            bands.evaluate_window(day, compute_value(components, sample), people.on_day(agent_id, day))
            for day, sample, components in (_merge_by_week(published, rows) if bands.weekly else rows)
        ]
    return evaluated, {key: reaches_first for key, (_, reaches_first) in series.items()}


def _merge_by_week(published: PublishedModel, rows: Sequence[tuple[date, int, Any]]) -> list[tuple[date, int, Any]]:
    weeks: dict[date, list[tuple[int, Any]]] = {}
    for day, sample, components in rows:
        weeks.setdefault(monday_of(day), []).append((sample, components))
    plan = published.model.plan
    return [
        (monday, sum(sample for sample, _ in week), plan.merge_components([components for _, components in week]))
        for monday, week in weeks.items()
    ]


def _build_event(
    published: PublishedModel,
    bands: Bands,
    agent_id: UUID,
    change: Transition,
    mode: Mode,
    evaluated: list[EvaluatedWindow],
    reason: ChangeReason,
) -> BandEvent:
    common: dict[str, Any] = {
        "agent_id": agent_id,
        "band_event_id": change.stay_id,
        "kpi": published.kpi,
        "model_version": published.version,
        "band": change.band,
        # Contracts require a rank, and a band that the model no longer has is given 0. Readers must not use it.
        "rank": bands.rank(change.band) or 0,
        "at_window": change.at_window,
        "mode": mode,
        "kpi_title": published.model.document.title,
        "band_title": bands.title(change.band),
        "unit": published.model.document.unit,
    }
    match change.kind:
        case "entered":
            assert change.stay is not None, "a stay that was entered is part of its transition"
            return _build_entered(bands, change.stay, common)
        case "stayed":
            evidence = [_to_contract_window(window) for window in change.windows]
            withdrawn = list(change.withdrawn)
            return BandStayed(**common, evidence=evidence, value=_last_value(evidence), withdrawn=withdrawn)
        case "left":
            assert change.stay is not None, "a stay that was left is part of its transition"
            return _build_left(bands, change.stay, common)
        case "retract_entered":
            return _build_corrected(bands, change.at_window, evaluated, reason, {**common, "retracts": "entered"})
        case "retract_left":
            return _build_corrected(bands, change.at_window, evaluated, reason, {**common, "retracts": "left"})


def _build_entered(bands: Bands, stay: Stay, common: Mapping[str, Any]) -> BandEntered:
    before = stay.from_band
    evidence = [_to_contract_window(window) for window in stay.entry]
    return BandEntered(
        **common,
        evidence=evidence,
        value=_last_value(evidence),
        from_band=before,
        from_rank=bands.rank(before) if before else None,
        from_band_title=bands.title(before) if before else {},
    )


def _build_left(bands: Bands, stay: Stay, common: Mapping[str, Any]) -> BandLeft:
    after = stay.to_band
    evidence = [_to_contract_window(window) for window in stay.exit]
    return BandLeft(
        **common,
        evidence=evidence,
        value=_last_value(evidence),
        to_band=after,
        to_rank=bands.rank(after) if after else None,
        to_band_title=bands.title(after) if after else {},
    )


def _build_corrected(
    bands: Bands,
    at_window: str,
    evaluated: Sequence[EvaluatedWindow],
    reason: ChangeReason,
    common: Mapping[str, Any],
) -> BandCorrected:
    """Says what the window reads now that decided on entering or leaving."""
    now = next((window for window in evaluated if window.window == at_window), None)
    if now is None:
        reads = f"{at_window} has no value any more"
    else:
        reads = f"{at_window} now reads {now.value} ({now.band or 'no band'})"
    value = now.value if now else None
    values: ReasonValues = {"window": at_window, "value": value, "unit": common["unit"]}
    if now and now.band:
        values["band_title"] = bands.title(now.band)
    return BandCorrected(
        **common,
        reason=f"{REASON_TEXTS[reason]}: {reads}",
        reason_code=reason,
        reason_values=values,
        evidence=[_to_contract_window(now)] if now else [],
        value=value,
    )


def _last_value(evidence: Sequence[Window]) -> str | None:
    return evidence[-1].value if evidence else None


def _to_contract_window(window: EvaluatedWindow) -> Window:
    return Window(window=window.window, value=window.value, sample=window.sample, band=window.band)
