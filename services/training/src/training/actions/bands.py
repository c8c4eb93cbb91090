"""What agents' bands bring about: assignments, and their withdrawal."""

from datetime import date
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.learning import AssignmentAssigned, AssignmentWithdrawn
from contracts.scores import BandCorrected, BandEntered, BandLeft
from storage import Session

from training.actions.assignments import facts_of
from training.model.effect import window_day
from training.model.rules import LEFT_BAND, OPEN, Rule, due, in_order, why_not
from training.store import assignments, stays, templates


async def enter_band(session: Session, event_id: UUID, body: BandEntered) -> None:
    """Every active rule for the band gives its training, or says why not. History only adds to what is known."""
    stay = await stays.hear(session, event_id, body, entered_on=_day(session, body.at_window))
    if stay is None or stay["retracted"] or body.mode == "history":
        return
    rules = await session.once(("rules",), lambda: templates.list_rules(session))
    active = in_order([rule for rule in rules if rule.active and (rule.kpi, rule.band) == (body.kpi, body.band)])
    if active:
        await assignments.lock_agent(session, body.agent_id)
    for rule in active:
        await _give(session, rule, body)


async def leave_band(session: Session, event_id: UUID, body: BandLeft) -> None:
    """Takes back what was given for this stay and is not started, where its rule says so."""
    stay = await stays.hear(session, event_id, body, left_on=_day(session, body.at_window))
    if stay is None or body.mode == "history":
        return
    for row in await assignments.of_band_event(session, body.band_event_id):
        if row["status"] == "assigned" and row["withdraw_when_left"]:
            await _withdraw(session, row, LEFT_BAND, corrected=False)


async def correct_band(session: Session, event_id: UUID, body: BandCorrected) -> None:
    """A stay that never was: what it brought is withdrawn unless started. A leaving that never was: what it had
    withdrawn is given again. What was started or completed is left alone in both cases. History only adds to what is
    known: one who loads the past must not take from people what they were given."""
    entering = body.retracts == "entered"
    changes: dict[str, Any] = {"retracted": True} if entering else {"left_on": None}
    if await stays.hear(session, event_id, body, **changes) is None or body.mode == "history":
        return
    for row in await assignments.of_band_event(session, body.band_event_id):
        if entering and row["status"] == "assigned":
            await _withdraw(session, row, body.reason or "the band was corrected", corrected=True)
        elif not entering and row["status"] == "withdrawn" and not row["corrected"]:
            await _give_again(session, row)


async def _give(session: Session, rule: Rule, body: BandEntered) -> None:
    head = await session.once(("head", rule.template), lambda: templates.find_head(session, rule.template))
    published = head is not None and head["version"] is not None and not head["archived"]
    earlier = await assignments.earlier_of(session, body.agent_id)
    skip = why_not(rule, earlier, published=published, now=session.now)
    place: dict[str, Any] = {
        "rule": rule.rule,
        "band_event_id": body.band_event_id,
        "agent_id": body.agent_id,
        "template": rule.template,
    }
    if skip is not None or head is None:
        assert skip is not None
        await assignments.add_skipped(session, reason=skip.reason, detail=skip.detail, **place)
        return
    values: dict[str, Any] = {
        **place,
        "id": new_id(),
        "template_version": head["version"],
        "status": "assigned",
        "kpi": body.kpi,
        "band": body.band,
        "evidence": {
            "kpi": body.kpi,
            "model_version": body.model_version,
            "band": body.band,
            "from_band": body.from_band,
            "at_window": body.at_window,
            "windows": [window.model_dump(mode="json") for window in body.evidence],
            "rule": rule.model_dump(mode="json"),
        },
        "withdraw_when_left": rule.withdraw_when_left,
        "due_days": rule.due_days,
        "assigned_at": session.now,
        "due_at": due(rule.due_days, session.now),
    }
    if await assignments.add(session, **values):
        await _announce(session, {**values, "title": head["title"]})


async def _give_again(session: Session, row: dict[str, Any]) -> None:
    await assignments.lock_agent(session, row["agent_id"])
    earlier = await assignments.earlier_of(session, row["agent_id"])
    if any(each.template == row["template"] and each.status in OPEN for each in earlier):
        return
    changes: dict[str, Any] = {
        "status": "assigned",
        "withdrawn_at": None,
        "withdrawn_reason": None,
        "overdue_at": None,
        "due_at": due(row["due_days"], session.now),
    }
    await assignments.change(session, row["id"], **changes)
    await _announce(session, {**row, **changes})


async def _announce(session: Session, row: dict[str, Any]) -> None:
    session.emit(AssignmentAssigned(**facts_of(row)))
    if row["due_at"] is not None:
        await session.schedule("overdue", str(row["id"]), row["due_at"])


async def _withdraw(session: Session, row: dict[str, Any], reason: str, *, corrected: bool) -> None:
    await assignments.change(
        session,
        row["id"],
        status="withdrawn",
        withdrawn_at=session.now,
        withdrawn_reason=reason,
        corrected=corrected,
    )
    session.emit(AssignmentWithdrawn(reason=reason, **facts_of(row)))


def _day(session: Session, at_window: str) -> date:
    return window_day(at_window, session.now.date())
