"""Applies assignment rules to band events: assigns, withdraws and reinstates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts.assignments import AssignmentAssigned, AssignmentWithdrawn
from contracts.envelope import ReasonValues
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from contracts.windows import window_days
from servicekit import ReceivedEvent, directory
from storage import Session

from training.actions.rule_assignments import TemplatesBySlug, assign_by_rule, event_fields
from training.model.assignment import AssignmentRow
from training.model.assignment_changes import AssignmentChanges
from training.model.effect import window_end_day
from training.model.rules import (
    DONE_STATUSES,
    LEFT_BAND,
    OPEN_STATUSES,
    STAYED_NO_LONGER,
    Rule,
    compute_due_at,
    sort_by_priority,
)
from training.model.stays import BandEvent, BandStay
from training.store import assignments, stays, templates

_NEEDS_ONGOING_STAY = (BandEntered, BandStayed)
"""Events that have effects only while the stay lasts."""

FindWorkday = Callable[[UUID, datetime], date]
RulesByBand = Mapping[tuple[str, str], list[Rule]]
"""By KPI and band, in the order in which they apply."""


async def apply_band_events(session: Session, events: Sequence[ReceivedEvent[BandEvent]]) -> None:
    """Updates the stays and applies the rules, event by event. The caller has locked the agents.

    These events update the stay and have no other effect: one of mode `history`; one that is older than its stay's version,
    except BandStayed, whose windows have versions of their own; BandEntered and BandStayed of a stay that was retracted or
    superseded by a later one.
    """
    known = await stays.load_stays(session, {event.body.band_event_id for event in events})
    entered = {(each.body.agent_id, each.body.kpi) for each in events if isinstance(each.body, _NEEDS_ONGOING_STAY)}
    newest = await stays.load_newest_entered(session, entered) if entered else {}
    undated = {event.body.agent_id for event in events if window_days(event.body.at_window) is None}
    workdays = await directory.load_workdays(session, undated) if undated else None
    changed: dict[UUID, BandStay] = {}
    effective: list[tuple[ReceivedEvent[BandEvent], BandStay]] = []
    for event in events:
        body, attributes = event.body, event.attributes
        stay = known.setdefault(body.band_event_id, BandStay.from_event(body))
        # Only older releases named windows without a day. Such a window counts for the agent's day of the event.
        today = workdays.workday_of(body.agent_id, attributes.time) if workdays else attributes.time.date()
        has_effect = _has_effect(body, stay, today, newest)
        if not stay.apply(attributes.id, body, today):
            continue
        changed[body.band_event_id] = stay
        if has_effect:
            effective.append((event, replace(stay)))
    if changed:
        await stays.upsert_stays(session, changed.values())
    if effective:
        await _apply_rules(session, effective)


def _has_effect(
    body: BandEvent, stay: BandStay, today: date, newest: Mapping[tuple[UUID, str], stays.LastEntered]
) -> bool:
    """Whether the event may change assignments. `stay`: as it was before the event."""
    is_outdated = stay.is_newer_than(body) and not isinstance(body, BandStayed)
    is_retracted = isinstance(body, _NEEDS_ONGOING_STAY) and stay.retracted
    return body.mode == "live" and not (is_outdated or is_retracted or _is_superseded(body, today, newest))


def _is_superseded(body: BandEvent, today: date, newest: Mapping[tuple[UUID, str], stays.LastEntered]) -> bool:
    """Whether a later stay is known already: an agent is in one band of a KPI at a time."""
    if not isinstance(body, _NEEDS_ONGOING_STAY) or not body.version or (body.agent_id, body.kpi) not in newest:
        return False
    entered_on, version = newest[body.agent_id, body.kpi]
    return body.version < version and window_end_day(body.at_window, today) < entered_on


async def _apply_rules(session: Session, effective: Sequence[tuple[ReceivedEvent[BandEvent], BandStay]]) -> None:
    """`effective`: each event with a copy of its stay as it was after that event."""
    rules = await _load_rules_by_band(session, [event.body for event, _ in effective])
    effective = [
        each
        for each in effective
        if not isinstance(each[0].body, BandStayed) or _find_stayed_rules(each[0].body, rules)
    ]
    if not effective:
        return
    events = [event for event, _ in effective]
    assignable = {event.body.agent_id for event in events if _may_assign(event.body, rules)}
    changes = AssignmentChanges(
        await assignments.load_by_stays(session, {event.body.band_event_id for event in events}),
        await assignments.load_earlier(session, assignable),
    )
    templates_by_slug = await templates.find_heads(
        session, {rule.template for found in rules.values() for rule in found}
    )
    with_stayed_rules = {event.body.agent_id for event in events if _find_stayed_rules(event.body, rules)}
    workdays = await directory.load_workdays(session, with_stayed_rules) if with_stayed_rules else None

    def find_workday(agent_id: UUID, at: datetime) -> date:
        assert workdays is not None
        return workdays.workday_of(agent_id, at)

    for event, stay in effective:
        with session.as_of(event.attributes.time, event.attributes):
            _apply_event(session, changes, rules, event.body, stay, templates_by_slug, find_workday)
    await assignments.write_changes(session, changes)


def _apply_event(
    session: Session,
    changes: AssignmentChanges,
    rules: RulesByBand,
    body: BandEvent,
    stay: BandStay,
    templates_by_slug: TemplatesBySlug,
    find_workday: FindWorkday,
) -> None:
    if isinstance(body, BandEntered):
        for rule in rules.get((body.kpi, body.band), ()):
            if rule.trigger == "entered":
                _assign_on_entered(session, changes, rule, body, templates_by_slug)
    elif isinstance(body, BandLeft):
        _withdraw_on_left(session, changes, body)
    elif isinstance(body, BandCorrected):
        _apply_correction(session, changes, body)
    for rule in _find_stayed_rules(body, rules):
        _update_stayed_assignment(session, changes, rule, stay, body, templates_by_slug, find_workday)


async def _load_rules_by_band(session: Session, bodies: Sequence[BandEvent]) -> dict[tuple[str, str], list[Rule]]:
    """Active rules with the triggers `entered` and `stayed` for the bands of these events, by KPI and band, in the order in
    which they apply."""
    bands = {(body.kpi, body.band) for body in bodies if not isinstance(body, BandLeft)}
    known = await templates.list_rules(session) if bands else []
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in sort_by_priority([rule for rule in known if rule.active and rule.trigger in ("entered", "stayed")]):
        if rule.kpi is not None and rule.band is not None and (rule.kpi, rule.band) in bands:
            found.setdefault((rule.kpi, rule.band), []).append(rule)
    return found


def _find_stayed_rules(body: BandEvent, rules: RulesByBand) -> list[Rule]:
    """The rules with the trigger `stayed` that the event may make due or no longer due."""
    if isinstance(body, BandLeft) or (isinstance(body, BandCorrected) and body.retracts == "entered"):
        return []
    return [rule for rule in rules.get((body.kpi, body.band), ()) if rule.trigger == "stayed"]


def _may_assign(body: BandEvent, rules: RulesByBand) -> bool:
    if isinstance(body, BandCorrected):
        return body.retracts == "left"
    return not isinstance(body, BandLeft) and (body.kpi, body.band) in rules


def _assign_on_entered(
    session: Session, changes: AssignmentChanges, rule: Rule, body: BandEntered, templates_by_slug: TemplatesBySlug
) -> None:
    assign_by_rule(
        session,
        changes,
        rule,
        templates_by_slug,
        occasion=str(body.band_event_id),
        agent_id=body.agent_id,
        band_event_id=body.band_event_id,
        kpi=body.kpi,
        band=body.band,
        evidence={
            **_evidence(body),
            "from_band": body.from_band,
            "windows": [window.model_dump(mode="json") for window in body.evidence],
        },
    )


def _evidence(body: BandEvent) -> dict[str, Any]:
    names = ("kpi", "kpi_title", "unit", "model_version", "band", "band_title", "at_window")
    return {name: getattr(body, name) for name in names}


def _update_stayed_assignment(
    session: Session,
    changes: AssignmentChanges,
    rule: Rule,
    stay: BandStay,
    body: BandEvent,
    templates_by_slug: TemplatesBySlug,
    find_workday: FindWorkday,
) -> None:
    """Assigns the rule's training once the stay has gone on for `rule.windows` windows since it began or since the last
    training was done; each such round has one assignment. The result depends only on the known windows, not on the order of
    their events. When corrections remove windows, an assignment that is not started is withdrawn. What a person has withdrawn
    stays so."""
    rows = changes.rows_of_stay(body.band_event_id)
    own = [row for row in rows if row.rule == rule.rule]
    done = [row for row in own if row.status in DONE_STATUSES]
    prerequisites = [row for row in rows if row.template == rule.of and row.status in DONE_STATUSES]
    since = max(
        (find_workday(body.agent_id, row.completed_at) for row in (*done, *prerequisites) if row.completed_at),
        default=None,
    )
    windows = stay.windows_after(since) if rule.of is None or prerequisites else []
    condition_met = stay.is_ongoing and len(windows) >= (rule.windows or 0)
    current = next((row for row in own if row.status not in DONE_STATUSES), None)
    if current is None:
        if condition_met:
            assign_by_rule(
                session,
                changes,
                rule,
                templates_by_slug,
                occasion=f"{body.band_event_id} stayed {len(done) + 1}",
                agent_id=body.agent_id,
                band_event_id=body.band_event_id,
                kpi=body.kpi,
                band=body.band,
                evidence={**_evidence(body), "windows": [window.model_dump(mode="json") for window in windows]},
            )
    elif condition_met and current.status == "withdrawn" and not current.is_withdrawn_by_hand:
        _reinstate(session, changes, current)
    elif stay.is_ongoing and not condition_met and current.status == "assigned":
        _withdraw(session, changes, current, STAYED_NO_LONGER, "stayed_no_longer", {}, corrected=True)


def _withdraw_on_left(session: Session, changes: AssignmentChanges, body: BandLeft) -> None:
    """Withdraws assignments of this stay that are not started, where the rule has `withdraw_when_left`."""
    for row in changes.rows_of_stay(body.band_event_id):
        if row.status == "assigned" and row.withdraw_when_left:
            _withdraw(session, changes, row, LEFT_BAND, "band_left", {}, corrected=False)


def _apply_correction(session: Session, changes: AssignmentChanges, body: BandCorrected) -> None:
    """Entering retracted: withdraws the stay's assignments. Leaving retracted: assigns again what the leaving had withdrawn.
    An assignment that is started or done stays as it is in both cases."""
    retracts_entered = body.retracts == "entered"
    for row in changes.rows_of_stay(body.band_event_id):
        if retracts_entered and row.status == "assigned":
            why = body.reason or "the band was corrected"
            _withdraw(
                session, changes, row, why, body.reason_code or "band_corrected", body.reason_values, corrected=True
            )
        elif not retracts_entered and row.status == "withdrawn" and not row.corrected:
            _reinstate(session, changes, row)


def _reinstate(session: Session, changes: AssignmentChanges, row: AssignmentRow) -> None:
    """Undoes the withdrawal, unless the training is open for this person already."""
    if any(each.template == row.template and each.status in OPEN_STATUSES for each in changes.earlier_of(row.agent_id)):
        return
    row.reinstate(compute_due_at(row.due_days, session.now))
    changes.mark_changed(row)
    session.emit(AssignmentAssigned(**event_fields(row)))


def _withdraw(
    session: Session,
    changes: AssignmentChanges,
    row: AssignmentRow,
    reason: str,
    code: str,
    values: ReasonValues,
    *,
    corrected: bool,
) -> None:
    row.withdraw(session.now, reason, code, dict(values), corrected=corrected)
    changes.mark_changed(row)
    session.emit(AssignmentWithdrawn(reason=reason, reason_code=code, reason_values=values, **event_fields(row)))
