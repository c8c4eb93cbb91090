"""Taking a receipt back: what only it contributed is removed, and what follows is derived again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from storage import DocumentStore, Session

from ingest.actions.merging import merge_parts
from ingest.actions.states import derive
from ingest.model.sources import Source
from ingest.store import interactions, receipts, states
from ingest.store.bulk import Batch

CHUNK = 1000


@dataclass
class Undone:
    """What taking a receipt back does: records that nothing else backs, interactions and legs that change, how many of
    these legs are void then, stretches of agents' states, and the agents concerned."""

    records: int = 0
    interactions: set[str] = field(default_factory=set[str])
    legs_changed: int = 0
    legs_voided: int = 0
    states_changed: int = 0
    agents: set[UUID] = field(default_factory=set[UUID])


async def undo(
    session: Session, documents: DocumentStore, receipt_id: UUID, source: Source, *, dry_run: bool
) -> Undone:
    """In one transaction, whole or not at all. With `dry_run` nothing is written."""
    result = Undone()
    await interactions.alone(session)
    parts = await receipts.parts_only_here(session, receipt_id)
    for begin in range(0, len(parts), CHUNK):
        await _remove(session, documents, source, receipt_id, parts[begin : begin + CHUNK], result, dry_run=dry_run)
    if dry_run:
        agents = [row["agent"] for row in await states.points_of(session, receipt_id)]
        told = [await derive(session, source.slug, dict.fromkeys(agents, 0), without=receipt_id)] if agents else []
    else:
        gone = {row["agent"]: row["since"] for row in await states.forget_points(session, receipt_id)}
        told = [await derive(session, source.slug, gone)] if gone else []
    for each in told:
        result.states_changed += each.recorded
        result.agents |= each.agents
    return result


async def _remove(
    session: Session,
    documents: DocumentStore,
    source: Source,
    receipt_id: UUID,
    parts: Sequence[UUID],
    result: Undone,
    *,
    dry_run: bool,
) -> None:
    rows = await interactions.parts_by_id(session, parts)
    result.records += len(rows)
    around = {row["contact"] for row in rows} | {row["root"] for row in rows}
    batch = Batch()
    merged = await merge_parts(session, documents, source, removing=parts, around=around, batch=batch, dry_run=dry_run)
    await batch.write(session, source=source.slug, receipt_id=receipt_id)
    result.interactions |= merged.versions.changed
    result.legs_changed += merged.versions.recorded
    result.legs_voided += merged.versions.voided
    result.agents |= merged.versions.agents
