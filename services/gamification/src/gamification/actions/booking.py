"""The only two things that happen to the ledger: a grant, and the reversal of one."""

from datetime import date
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.awards import PointsGranted, PointsReversed
from storage import Session

from gamification.model.rules import BandLeftRule, ImprovementRule, TrainingCompletedRule
from gamification.store import ledger


async def grant(
    session: Session,
    rule: BandLeftRule | TrainingCompletedRule | ImprovementRule,
    agent_id: UUID,
    *,
    cause: str,
    occasion: str,
    points: int,
    earned_on: date,
    detail: dict[str, Any] | None = None,
) -> None:
    """Books points once for each agent, rule, cause and occasion. The agent must be locked."""
    entry_id = new_id()
    facts: dict[str, Any] = {
        "agent_id": agent_id, "rule": rule.rule, "cause": cause, "points": points, "title": rule.title,
    }  # fmt: skip
    if await ledger.book(session, id=entry_id, occasion=occasion, earned_on=earned_on, detail=detail, **facts):
        balance = await ledger.balance(session, agent_id)
        session.emit(PointsGranted(entry_id=entry_id, balance=balance, **facts))


async def reverse(session: Session, entry: dict[str, Any], reason: str) -> None:
    """Takes a grant back, in the period in which it had been earned. The agent must be locked."""
    entry_id = new_id()
    facts: dict[str, Any] = {name: entry[name] for name in ("agent_id", "rule", "cause", "title")}
    facts |= {"points": -entry["points"], "reverses": entry["id"], "reason": reason}
    place = {"occasion": entry["occasion"], "earned_on": entry["earned_on"]}
    if await ledger.book(session, id=entry_id, **place, **facts):
        balance = await ledger.balance(session, entry["agent_id"])
        session.emit(PointsReversed(entry_id=entry_id, balance=balance, **facts))
