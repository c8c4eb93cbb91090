"""What agents' bands bring about: assignments, and their withdrawal."""

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

from training.actions.rule_assignments import TemplateHeads, assign_by_rule, event_fields
from training.model.assignment_changes import AssignmentChanges, Row
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

_CURRENT_EVENTS = (BandEntered, BandStayed)
"""What is news only while the stay lasts."""
FindWorkday = Callable[[UUID, datetime], date]


async def apply_band_events(session: Session, events: Sequence[ReceivedEvent[BandEvent]]) -> None:
    """What follows from each event, in the order in which it is said; what is older than what
    is known of its stay adds to what is known. History only adds to what is known: one who loads
    the past must not give or take anything. The agents must have been locked."""
    known = await stays.load_stays(session, {event.body.band_event_id for event in events})
    entered = {(each.body.agent_id, each.body.kpi) for each in events if isinstance(each.body, _CURRENT_EVENTS)}
    newest = await stays.load_newest_entered(session, entered) if entered else {}
    undated = {event.body.agent_id for event in events if window_days(event.body.at_window) is None}
    workdays = await directory.load_workdays(session, undated) if undated else None
    told: dict[UUID, BandStay] = {}
    live: list[tuple[ReceivedEvent[BandEvent], BandStay]] = []
    for event in events:
        body, attributes = event.body, event.attributes
        stay = known.setdefault(body.band_event_id, BandStay.from_event(body))
        # Of a window without days of its own, the agent's day on which it was told.
        today = workdays.workday_of(body.agent_id, attributes.time) if workdays else attributes.time.date()
        ahead = stay.is_ahead_of(body) and not isinstance(body, BandStayed)
        late = ahead or _is_superseded(body, today, newest)
        if not stay.apply(attributes.id, body, today):
            continue
        told[body.band_event_id] = stay
        corrected_before = isinstance(body, _CURRENT_EVENTS) and stay.retracted
        if body.mode == "live" and not corrected_before and not late:
            live.append((event, replace(stay)))
    if told:
        await stays.upsert_stays(session, told.values())
    if live:
        await _apply_rules(session, live)


def _is_superseded(body: BandEvent, today: date, newest: Mapping[tuple[UUID, str], stays.LastEntered]) -> bool:
    """Whether a later stay was heard of before this one was: an agent is in one band of a KPI at a time."""
    if not isinstance(body, _CURRENT_EVENTS) or not body.version or (body.agent_id, body.kpi) not in newest:
        return False
    entered_on, version = newest[body.agent_id, body.kpi]
    return body.version < version and window_end_day(body.at_window, today) < entered_on


async def _apply_rules(session: Session, live: Sequence[tuple[ReceivedEvent[BandEvent], BandStay]]) -> None:
    """`live`: each event with its stay, as it was known when the event had been heard."""
    rules = await _load_rules_by_band(session, [event.body for event, _ in live])
    live = [
        each for each in live if not isinstance(each[0].body, BandStayed) or _find_stayed_rules(each[0].body, rules)
    ]
    if not live:
        return
    events = [event for event, _ in live]
    waiting = {body.agent_id for body in (event.body for event in events) if _may_assign(body, rules)}
    given = AssignmentChanges(
        await assignments.load_by_stays(session, {event.body.band_event_id for event in events}),
        await assignments.load_earlier(session, waiting),
    )
    heads = await templates.find_heads(session, {rule.template for found in rules.values() for rule in found})
    staying = {event.body.agent_id for event in events if _find_stayed_rules(event.body, rules)}
    workdays = await directory.load_workdays(session, staying) if staying else None

    def day_of(agent_id: UUID, at: datetime) -> date:
        assert workdays is not None
        return workdays.workday_of(agent_id, at)

    for event, stay in live:
        body = event.body
        session.now, session.cause = event.attributes.time, event.attributes
        match body:
            case BandEntered():
                for rule in rules.get((body.kpi, body.band), ()):
                    if rule.trigger == "entered":
                        _assign_on_entered(session, given, rule, body, heads)
            case BandStayed():
                pass
            case BandLeft():
                _withdraw_on_left(session, given, body)
            case BandCorrected():
                _apply_correction(session, given, body)
        for rule in _find_stayed_rules(body, rules):
            _reconcile_stayed(session, given, rule, stay, body, heads, day_of)
    session.cause = None
    await assignments.write_changes(session, given)


async def _load_rules_by_band(session: Session, bodies: Sequence[BandEvent]) -> dict[tuple[str, str], list[Rule]]:
    """Active rules by the KPI and band that somebody has entered or is in, in their order."""
    places = {(body.kpi, body.band) for body in bodies if not isinstance(body, BandLeft)}
    known = await templates.list_rules(session) if places else []
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in sort_by_priority([rule for rule in known if rule.active and rule.trigger in ("entered", "stayed")]):
        if rule.kpi is not None and rule.band is not None and (rule.kpi, rule.band) in places:
            found.setdefault((rule.kpi, rule.band), []).append(rule)
    return found


def _find_stayed_rules(body: BandEvent, rules: Mapping[tuple[str, str], list[Rule]]) -> list[Rule]:
    """The rules that ask how long the stay has lasted, where the event may be news to them."""
    if isinstance(body, BandLeft) or (isinstance(body, BandCorrected) and body.retracts == "entered"):
        return []
    return [rule for rule in rules.get((body.kpi, body.band), ()) if rule.trigger == "stayed"]


def _may_assign(body: BandEvent, rules: Mapping[tuple[str, str], list[Rule]]) -> bool:
    if isinstance(body, BandCorrected):
        return body.retracts == "left"
    return not isinstance(body, BandLeft) and (body.kpi, body.band) in rules


def _assign_on_entered(
    session: Session, changes: AssignmentChanges, rule: Rule, body: BandEntered, heads: TemplateHeads
) -> None:
    assign_by_rule(
        session,
        changes,
        rule,
        heads,
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


def _reconcile_stayed(
    session: Session,
    changes: AssignmentChanges,
    rule: Rule,
    stay: BandStay,
    body: BandEvent,
    heads: TemplateHeads,
    day_of: FindWorkday,
) -> None:
    """Whoever has been in the band for so many windows since the entering, or since the last training was done, is given
    the rule's training, once in each such round. It goes by what is known of the stay, whatever came in which order; where
    corrections take the windows away again, what was not started is withdrawn."""
    rows = changes.rows_of_stay(body.band_event_id)
    mine = [row for row in rows if row["rule"] == rule.rule]
    done = [row for row in mine if row["status"] in DONE_STATUSES]
    learnt = [row for row in rows if row["template"] == rule.of and row["status"] in DONE_STATUSES]
    since = max((day_of(body.agent_id, row["completed_at"]) for row in (*done, *learnt)), default=None)
    windows = stay.windows_after(since) if rule.of is None or learnt else []
    is_due = stay.is_ongoing and len(windows) >= (rule.windows or 0)
    given_now = next((row for row in mine if row["status"] not in DONE_STATUSES), None)
    if given_now is None:
        if is_due:
            assign_by_rule(
                session,
                changes,
                rule,
                heads,
                occasion=f"{body.band_event_id} stayed {len(done) + 1}",
                agent_id=body.agent_id,
                band_event_id=body.band_event_id,
                kpi=body.kpi,
                band=body.band,
                evidence={**_evidence(body), "windows": [window.model_dump(mode="json") for window in windows]},
            )
    elif is_due and given_now["status"] == "withdrawn":
        _reassign(session, changes, given_now)
    elif stay.is_ongoing and not is_due and given_now["status"] == "assigned":
        _withdraw(session, changes, given_now, STAYED_NO_LONGER, "stayed_no_longer", {}, corrected=True)


def _withdraw_on_left(session: Session, changes: AssignmentChanges, body: BandLeft) -> None:
    """Takes back what was given for this stay and is not started, where its rule says so."""
    for row in changes.rows_of_stay(body.band_event_id):
        if row["status"] == "assigned" and row["withdraw_when_left"]:
            _withdraw(session, changes, row, LEFT_BAND, "band_left", {}, corrected=False)


def _apply_correction(session: Session, changes: AssignmentChanges, body: BandCorrected) -> None:
    """A stay that never was: what it brought is withdrawn unless started. A leaving that never was: what it had
    withdrawn is given again. What was started or completed is left alone in both cases."""
    entering = body.retracts == "entered"
    for row in changes.rows_of_stay(body.band_event_id):
        if entering and row["status"] == "assigned":
            why = body.reason or "the band was corrected"
            _withdraw(
                session, changes, row, why, body.reason_code or "band_corrected", body.reason_values, corrected=True
            )
        elif not entering and row["status"] == "withdrawn" and not row["corrected"]:
            _reassign(session, changes, row)


def _reassign(session: Session, changes: AssignmentChanges, row: Row) -> None:
    if any(
        each.template == row["template"] and each.status in OPEN_STATUSES
        for each in changes.earlier_of(row["agent_id"])
    ):
        return
    changes.change(
        row,
        status="assigned",
        withdrawn_at=None,
        withdrawn_reason=None,
        withdrawn_code=None,
        withdrawn_values=None,
        corrected=False,
        overdue_at=None,
        due_at=compute_due_at(row["due_days"], session.now),
    )
    session.emit(AssignmentAssigned(**event_fields(row)))


def _withdraw(
    session: Session,
    changes: AssignmentChanges,
    row: Row,
    reason: str,
    code: str,
    values: ReasonValues,
    *,
    corrected: bool,
) -> None:
    changes.change(
        row,
        status="withdrawn",
        withdrawn_at=session.now,
        withdrawn_reason=reason,
        withdrawn_code=code,
        withdrawn_values=values,
        corrected=corrected,
    )
    session.emit(AssignmentWithdrawn(reason=reason, reason_code=code, reason_values=values, **event_fields(row)))
