"""What was booked goes into the ledger, and out as events."""

from collections import Counter
from typing import Any
from uuid import UUID

from contracts.awards import PointsGranted, PointsReversed
from storage import Session

from gamification.model.ledger_batch import LedgerBatch
from gamification.store import ledger


async def write_entries(session: Session, batch: LedgerBatch) -> None:
    """Only what the ledger did not have yet is told, each with the balance as it was after that entry."""
    if not batch.new:
        return
    written = await ledger.insert_entries(session, batch.new)
    added = [each for each in batch.new if each.entry.id in written]
    balances = await ledger.load_balances(session, {each.entry.agent_id for each in added})
    later: Counter[UUID] = Counter()
    for each in added:
        later[each.entry.agent_id] += each.entry.points
    for each in added:
        entry = each.entry
        later[entry.agent_id] -= entry.points
        session.now, session.cause = each.at, each.by
        facts: dict[str, Any] = {
            "entry_id": entry.id, "agent_id": entry.agent_id, "rule": entry.rule, "cause": entry.cause,
            "points": entry.points, "title": entry.title, "balance": balances[entry.agent_id] - later[entry.agent_id],
        }  # fmt: skip
        if entry.reverses is None:
            session.emit(PointsGranted(**facts))
        else:
            why = {"reason_code": entry.reason_code, "reason_values": entry.reason_values}
            session.emit(PointsReversed(**facts, **why, reverses=entry.reverses, reason=entry.reason or ""))
    session.cause = None
