"""Inserts new entries into the ledger and publishes them as events."""

from collections import Counter
from typing import Any
from uuid import UUID

from contracts.awards import PointsGranted, PointsReversed
from storage import Session

from gamification.model.ledger_batch import LedgerBatch
from gamification.store import ledger


async def write_entries(session: Session, batch: LedgerBatch) -> None:
    """Inserts the batch's new entries and publishes those that the ledger did not have, each with the balance after it."""
    if not batch.new:
        return
    written = await ledger.insert_entries(session, batch.new)
    added = [each for each in batch.new if each.entry.id in written]
    balances = await ledger.load_balances(session, {each.entry.agent_id for each in added})
    following: Counter[UUID] = Counter()
    for each in added:
        following[each.entry.agent_id] += each.entry.points
    for each in added:
        entry = each.entry
        following[entry.agent_id] -= entry.points
        facts: dict[str, Any] = {
            "entry_id": entry.id, "agent_id": entry.agent_id, "rule": entry.rule, "cause": entry.cause,
            "points": entry.points, "title": entry.title, "balance": balances[entry.agent_id] - following[entry.agent_id],
        }  # fmt: skip
        if entry.reverses is not None:
            facts |= {"reverses": entry.reverses, "reason": entry.reason or ""}
            facts |= {"reason_code": entry.reason_code, "reason_values": entry.reason_values}
        with session.as_of(each.at, each.by):
            session.emit((PointsGranted if entry.reverses is None else PointsReversed).model_validate(facts))
