"""What agents' bands bring about: assignments, and their withdrawal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts.envelope import ReasonValues
from contracts.learning import AssignmentAssigned, AssignmentWithdrawn
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from contracts.windows import window_days
from servicekit import Received, directory
from storage import Session

from training.actions.giving import Heads, facts_of, give
from training.model.effect import window_day
from training.model.given import Given, Row
from training.model.rules import DONE, LEFT_BAND, OPEN, STAYED_NO_LONGER, Rule, due, in_order
from training.model.stays import BandEvent, HeardStay
from training.store import assignments, stays, templates

_OF_NOW = (BandEntered, BandStayed)
"""What is news only while the stay lasts."""
DayOf = Callable[[UUID, datetime], date]


async def hear_bands(session: Session, events: Sequence[Received[BandEvent]]) -> None:
    """What follows from each event, in the order in which it is said; what is older than what
    is known of its stay adds to what is known. History only adds to what is known: one who loads
    the past must not give or take anything. The agents must have been locked."""
    known = await stays.heard(session, {event.body.band_event_id for event in events})
    entered = {(each.body.agent_id, each.body.kpi) for each in events if isinstance(each.body, _OF_NOW)}
    newest = await stays.newest_entered(session, entered) if entered else {}
    undated = {event.body.agent_id for event in events if window_days(event.body.at_window) is None}
    workdays = await directory.workdays(session, undated) if undated else None
    told: dict[UUID, HeardStay] = {}
    live: list[tuple[Received[BandEvent], HeardStay]] = []
    for event in events:
        body, attributes = event.body, event.attributes
        stay = known.setdefault(body.band_event_id, HeardStay.of(body))
        # Of a window without days of its own, the agent's day on which it was told.
        today = workdays.of(body.agent_id, attributes.time) if workdays else attributes.time.date()
        ahead = stay.is_ahead_of(body) and not isinstance(body, BandStayed)
        late = ahead or _is_over(body, today, newest)
        if not stay.hear(attributes.id, body, today):
            continue
        told[body.band_event_id] = stay
        corrected_before = isinstance(body, _OF_NOW) and stay.retracted
        if body.mode == "live" and not corrected_before and not late:
            live.append((event, replace(stay)))
    if told:
        await stays.keep(session, told.values())
    if live:
        await _follow(session, live)


def _is_over(body: BandEvent, today: date, newest: Mapping[tuple[UUID, str], stays.Entered]) -> bool:
    """Whether a later stay was heard of before this one was: an agent is in one band of a KPI at a time."""
    if not isinstance(body, _OF_NOW) or not body.version or (body.agent_id, body.kpi) not in newest:
        return False
    entered_on, version = newest[body.agent_id, body.kpi]
    return body.version < version and window_day(body.at_window, today) < entered_on


async def _follow(session: Session, live: Sequence[tuple[Received[BandEvent], HeardStay]]) -> None:
    """`live`: each event with its stay, as it was known when the event had been heard."""
    rules = await _rules_for(session, [event.body for event, _ in live])
    live = [each for each in live if not isinstance(each[0].body, BandStayed) or _staying(each[0].body, rules)]
    if not live:
        return
    events = [event for event, _ in live]
    waiting = {body.agent_id for body in (event.body for event in events) if _may_give(body, rules)}
    given = Given(
        await assignments.of_stays(session, {event.body.band_event_id for event in events}),
        await assignments.earlier_of(session, waiting),
    )
    heads = await templates.find_heads(session, {rule.template for found in rules.values() for rule in found})
    staying = {event.body.agent_id for event in events if _staying(event.body, rules)}
    workdays = await directory.workdays(session, staying) if staying else None

    def day_of(agent_id: UUID, at: datetime) -> date:
        assert workdays is not None
        return workdays.of(agent_id, at)

    for event, stay in live:
        body = event.body
        session.now, session.cause = event.attributes.time, event.attributes
        match body:
            case BandEntered():
                for rule in rules.get((body.kpi, body.band), ()):
                    if rule.trigger == "entered":
                        _enter(session, given, rule, body, heads)
            case BandStayed():
                pass
            case BandLeft():
                _leave(session, given, body)
            case BandCorrected():
                _correct(session, given, body)
        for rule in _staying(body, rules):
            _stay(session, given, rule, stay, body, heads, day_of)
    session.cause = None
    await assignments.write(session, given)


async def _rules_for(session: Session, bodies: Sequence[BandEvent]) -> dict[tuple[str, str], list[Rule]]:
    """Active rules by the KPI and band that somebody has entered or is in, in their order."""
    places = {(body.kpi, body.band) for body in bodies if not isinstance(body, BandLeft)}
    known = await templates.list_rules(session) if places else []
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in in_order([rule for rule in known if rule.active and rule.trigger in ("entered", "stayed")]):
        if rule.kpi is not None and rule.band is not None and (rule.kpi, rule.band) in places:
            found.setdefault((rule.kpi, rule.band), []).append(rule)
    return found


def _staying(body: BandEvent, rules: Mapping[tuple[str, str], list[Rule]]) -> list[Rule]:
    """The rules that ask how long the stay has lasted, where the event may be news to them."""
    if isinstance(body, BandLeft) or (isinstance(body, BandCorrected) and body.retracts == "entered"):
        return []
    return [rule for rule in rules.get((body.kpi, body.band), ()) if rule.trigger == "stayed"]


def _may_give(body: BandEvent, rules: Mapping[tuple[str, str], list[Rule]]) -> bool:
    if isinstance(body, BandCorrected):
        return body.retracts == "left"
    return not isinstance(body, BandLeft) and (body.kpi, body.band) in rules


def _enter(session: Session, given: Given, rule: Rule, body: BandEntered, heads: Heads) -> None:
    give(
        session,
        given,
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


def _stay(
    session: Session, given: Given, rule: Rule, stay: HeardStay, body: BandEvent, heads: Heads, day_of: DayOf
) -> None:
    """Whoever has been in the band for so many windows since the entering, or since the last training was done, is given
    the rule's training, once in each such round. It goes by what is known of the stay, whatever came in which order; where
    corrections take the windows away again, what was not started is withdrawn."""
    rows = given.of_stay(body.band_event_id)
    mine = [row for row in rows if row["rule"] == rule.rule]
    done = [row for row in mine if row["status"] in DONE]
    learnt = [row for row in rows if row["template"] == rule.of and row["status"] in DONE]
    since = max((day_of(body.agent_id, row["completed_at"]) for row in (*done, *learnt)), default=None)
    windows = stay.windows_after(since) if rule.of is None or learnt else []
    is_due = stay.goes_on and len(windows) >= (rule.windows or 0)
    given_now = next((row for row in mine if row["status"] not in DONE), None)
    if given_now is None:
        if is_due:
            give(
                session,
                given,
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
        _give_again(session, given, given_now)
    elif stay.goes_on and not is_due and given_now["status"] == "assigned":
        _withdraw(session, given, given_now, STAYED_NO_LONGER, "stayed_no_longer", {}, corrected=True)


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
        withdrawn_code=None,
        withdrawn_values=None,
        corrected=False,
        overdue_at=None,
        due_at=due(row["due_days"], session.now),
    )
    session.emit(AssignmentAssigned(**facts_of(row)))


def _withdraw(
    session: Session, given: Given, row: Row, reason: str, code: str, values: ReasonValues, *, corrected: bool
) -> None:
    given.change(
        row,
        status="withdrawn",
        withdrawn_at=session.now,
        withdrawn_reason=reason,
        withdrawn_code=code,
        withdrawn_values=values,
        corrected=corrected,
    )
    session.emit(AssignmentWithdrawn(reason=reason, reason_code=code, reason_values=values, **facts_of(row)))
