"""What agents' bands bring about: assignments, and their withdrawal."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.envelope import ReasonValues
from contracts.learning import AssignmentAssigned, AssignmentWithdrawn
from contracts.scores import BandCorrected, BandEntered, BandLeft
from servicekit import Received
from storage import Session

from training.actions.assignments import facts_of
from training.model.effect import window_day
from training.model.given import Given, Row
from training.model.rules import LEFT_BAND, OPEN, Rule, due, in_order, why_not
from training.model.stays import BandEvent, HeardStay
from training.store import assignments, stays, templates

Heads = Mapping[str, Mapping[str, Any]]
"""Templates that there are, by slug."""


async def hear_bands(session: Session, events: Sequence[Received[BandEvent]]) -> None:
    """What follows from each event, in the order in which it is said; what is older than what
    is known of its stay adds to what is known. History only adds to what is known: one who loads
    the past must not give or take anything. The agents must have been locked."""
    known = await stays.heard(session, {event.body.band_event_id for event in events})
    entered = {(each.body.agent_id, each.body.kpi) for each in events if isinstance(each.body, BandEntered)}
    newest = await stays.newest_entered(session, entered) if entered else {}
    told: dict[UUID, HeardStay] = {}
    live: list[Received[BandEvent]] = []
    for event in events:
        body, attributes = event.body, event.attributes
        stay = known.setdefault(body.band_event_id, HeardStay.of(body))
        late = stay.is_ahead_of(body) or _is_over(body, attributes.time.date(), newest)
        if not stay.hear(attributes.id, body, attributes.time.date()):
            continue
        told[body.band_event_id] = stay
        corrected_before = isinstance(body, BandEntered) and stay.retracted
        if body.mode == "live" and not corrected_before and not late:
            live.append(event)
    if told:
        await stays.keep(session, told.values())
    if live:
        await _follow(session, live)


def _is_over(body: BandEvent, today: date, newest: Mapping[tuple[UUID, str], stays.Entered]) -> bool:
    """Whether a later stay was heard of before this one was: an agent is in one band of a KPI at a time."""
    if not isinstance(body, BandEntered) or not body.version or (body.agent_id, body.kpi) not in newest:
        return False
    entered_on, version = newest[body.agent_id, body.kpi]
    return body.version < version and window_day(body.at_window, today) < entered_on


async def _follow(session: Session, events: Sequence[Received[BandEvent]]) -> None:
    rules = await _rules_for(session, [event.body for event in events])
    waiting = {body.agent_id for body in (event.body for event in events) if _may_give(body, rules)}
    given = Given(
        await assignments.of_stays(session, {event.body.band_event_id for event in events}),
        await assignments.earlier_of(session, waiting),
    )
    heads = await templates.find_heads(session, {rule.template for found in rules.values() for rule in found})
    for event in events:
        session.now, session.cause = event.attributes.time, event.attributes
        match event.body:
            case BandEntered() as body:
                for rule in rules.get((body.kpi, body.band), ()):
                    _give(session, given, rule, body, heads)
            case BandLeft() as body:
                _leave(session, given, body)
            case BandCorrected() as body:
                _correct(session, given, body)
    session.cause = None
    await assignments.write(session, given)


async def _rules_for(session: Session, bodies: Sequence[BandEvent]) -> dict[tuple[str, str], list[Rule]]:
    """Active rules by the KPI and band that somebody has entered, in their order."""
    entered = {(body.kpi, body.band) for body in bodies if isinstance(body, BandEntered)}
    known = await templates.list_rules(session) if entered else []
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in in_order([rule for rule in known if rule.active and (rule.kpi, rule.band) in entered]):
        found.setdefault((rule.kpi, rule.band), []).append(rule)
    return found


def _may_give(body: BandEvent, rules: Mapping[tuple[str, str], list[Rule]]) -> bool:
    if isinstance(body, BandCorrected):
        return body.retracts == "left"
    return isinstance(body, BandEntered) and (body.kpi, body.band) in rules


def _give(session: Session, given: Given, rule: Rule, body: BandEntered, heads: Heads) -> None:
    """The rule's training, once for a stay, or why not."""
    head = heads.get(rule.template)
    published = head is not None and head["version"] is not None and not head["archived"]
    skip = why_not(rule, given.earlier_of(body.agent_id), published=published, now=session.now)
    place: Row = {
        "rule": rule.rule,
        "band_event_id": body.band_event_id,
        "agent_id": body.agent_id,
        "template": rule.template,
    }
    if skip is not None or head is None:
        assert skip is not None
        given.skipped.append({**place, "reason": skip.reason, "detail": skip.detail, "at": session.now})
        return
    if any(row["rule"] == rule.rule for row in given.of_stay(body.band_event_id)):
        return
    row: Row = {
        **place,
        "id": new_id(),
        "template_version": head["version"],
        "title": head["title"],
        "status": "assigned",
        "kpi": body.kpi,
        "band": body.band,
        "evidence": {
            "kpi": body.kpi,
            "model_version": body.model_version,
            "kpi_title": body.kpi_title,
            "unit": body.unit,
            "band": body.band,
            "band_title": body.band_title,
            "from_band": body.from_band,
            "at_window": body.at_window,
            "windows": [window.model_dump(mode="json") for window in body.evidence],
            "rule": rule.model_dump(mode="json"),
        },
        "withdraw_when_left": rule.withdraw_when_left,
        "due_days": rule.due_days,
        "assigned_at": session.now,
        "due_at": due(rule.due_days, session.now),
        "corrected": False,
        "attempts": 0,
        "version": 1,
    }
    given.add(row)
    session.emit(AssignmentAssigned(**facts_of(row)))


def _leave(session: Session, given: Given, body: BandLeft) -> None:
    """Takes back what was given for this stay and is not started, where its rule says so."""
    for row in given.of_stay(body.band_event_id):
        if row["status"] == "assigned" and row["withdraw_when_left"]:
            _withdraw(session, given, row, LEFT_BAND, "band_left", {}, corrected=False)


def _correct(session: Session, given: Given, body: BandCorrected) -> None:
    """A stay that never was: what it brought is withdrawn unless started. A leaving that never was: what it had
    withdrawn is given again. What was started or completed is left alone in both cases."""
    entering = body.retracts == "entered"
    for row in given.of_stay(body.band_event_id):
        if entering and row["status"] == "assigned":
            why = body.reason or "the band was corrected"
            _withdraw(
                session, given, row, why, body.reason_code or "band_corrected", body.reason_values, corrected=True
            )
        elif not entering and row["status"] == "withdrawn" and not row["corrected"]:
            _give_again(session, given, row)


def _give_again(session: Session, given: Given, row: Row) -> None:
    if any(each.template == row["template"] and each.status in OPEN for each in given.earlier_of(row["agent_id"])):
        return
    given.change(
        row,
        status="assigned",
        withdrawn_at=None,
        withdrawn_reason=None,
        overdue_at=None,
        due_at=due(row["due_days"], session.now),
    )
    session.emit(AssignmentAssigned(**facts_of(row)))


def _withdraw(
    session: Session, given: Given, row: Row, reason: str, code: str, values: ReasonValues, *, corrected: bool
) -> None:
    given.change(row, status="withdrawn", withdrawn_at=session.now, withdrawn_reason=reason, corrected=corrected)
    session.emit(AssignmentWithdrawn(reason=reason, reason_code=code, reason_values=values, **facts_of(row)))
