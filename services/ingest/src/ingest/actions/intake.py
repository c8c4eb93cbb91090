"""Records become verdicts: read, merged, filed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from contracts import Mode
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions import archive
from ingest.actions.merging import MergeResult, merge_parts
from ingest.actions.states import StateChanges, agent_key, record_notices
from ingest.actions.versions import LegVersionCollector
from ingest.metrics import count_verdicts
from ingest.model.arrivals import Arrival
from ingest.model.canonical import EPOCH, Held
from ingest.model.field_readers import ReadContext, quote_value
from ingest.model.parts import StateNotice
from ingest.model.payload import Record
from ingest.model.refusal import Refusal
from ingest.model.sources import Source
from ingest.store import receipts

Outcome = Arrival | StateNotice | Refusal
_BODY_RECORD = {"kind": receipts.BODY_KIND}


@dataclass
class Chunk:
    """Records that are judged in one transaction, and what each was read as: a part, a notice of an agent's state, or
    a refusal. Their raw text is the document `document`, in this order. `size`: characters of raw text. `not_kept`:
    rejected ones beside these, of which only the number stays."""

    receipt_id: UUID
    mode: Mode
    source: Source
    reading: ReadContext
    document: str = ""
    size: int = 0
    not_kept: int = 0
    records: list[Record] = field(default_factory=list[Record])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def add(self, record: Record) -> Outcome:
        if not self.records:
            self.document = archive.document_id(self.receipt_id, record.number)
        self.outcomes.append(self._read(record))
        if record.raw.startswith("{"):
            record.value = None  # the text says it all; let go of at once, its memory serves the next record
        self.records.append(record)
        self.size += len(record.raw)
        return self.outcomes[-1]

    def drop_last(self) -> None:
        """Forgets the last record but for its number."""
        self.size -= len(self.records.pop().raw)
        self.outcomes.pop()
        self.not_kept += 1

    def truncate(self, count: int) -> int:
        """Forgets all records but the first. Returns how many."""
        before = self.not_kept
        while len(self.records) > count:
            self.drop_last()
        return self.not_kept - before

    def __len__(self) -> int:
        return len(self.records) + self.not_kept

    def _read(self, record: Record) -> Outcome:
        if record.value is None:
            return record.refusal or Refusal("", "The record cannot be read.")
        try:
            found = self.source.format.read(record.value, self.reading)
        except Refusal as refusal:
            return refusal
        if isinstance(found, StateNotice):
            return found
        return Arrival(found, self.mode, self.document, len(self.records))


def new_chunk(receipt_id: UUID, mode: Mode, source: Source, *, now: datetime, secret: bytes) -> Chunk:
    """An empty chunk, to which records are added. `secret`: the key of the tenant's customer hashes."""
    now_ms = round((now - EPOCH).total_seconds() * 1000)
    return Chunk(receipt_id, mode, source, source.reading(now_ms, secret))


async def judge_chunk(
    session: Session,
    documents: DocumentStore,
    chunk: Chunk,
    batch: MultiInsert,
    *,
    raw: Sequence[Document] = (),
    replaced_parts: Sequence[UUID] = (),
    rederive: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Judges the records of a chunk, puts what is new and the verdicts into `batch`, and returns the verdicts.

    `raw`: the document of the records, if it is not kept yet. `replacing`: parts that these records brought before,
    under another mapping, of the contacts `around`.
    """
    source, outcomes = chunk.source, chunk.outcomes
    arrivals = [outcome for outcome in outcomes if isinstance(outcome, Arrival)]
    notices = [outcome for outcome in outcomes if isinstance(outcome, StateNotice)]
    merged, told = MergeResult(LegVersionCollector(session, documents, source), {}), StateChanges()
    if arrivals or replaced_parts:
        merged = await merge_parts(
            session,
            documents,
            source,
            adding=arrivals,
            removing=replaced_parts,
            rederive=rederive,
            extra_documents=raw,
            inserts=batch,
        )
    elif raw:
        session.write_before_commit(documents.put(session.tenant, archive.RAW, raw))
    if notices:
        told = await record_notices(session, source.slug, notices, mode=chunk.mode, receipt_id=chunk.receipt_id)
    verdicts = [
        {
            "number": record.number,
            "line": record.line,
            "position": position,
            **_verdict(outcome, merged, told, source),
            **(_BODY_RECORD if record.is_whole_body else {}),
        }
        for position, (record, outcome) in enumerate(zip(chunk.records, outcomes, strict=True))
    ]
    batch.add(receipts.RECORDS, verdicts)
    session.after_commit.append(partial(count_verdicts, [row["verdict"] for row in verdicts]))
    return verdicts


async def write_chunk(session: Session, chunk: Chunk, batch: MultiInsert) -> list[dict[str, Any]]:
    """Writes what `judge_chunk` put into the batch, and returns what its last INSERT returns."""
    return await session.insert_multi(
        batch,
        source=chunk.source.slug,
        receipt_id=chunk.receipt_id,
        document=chunk.document,
        known_at=session.now,
        since=session.now,
    )


def _verdict(outcome: Outcome, merged: MergeResult, told: StateChanges, source: Source) -> dict[str, Any]:
    if isinstance(outcome, Arrival) and outcome.classification == "another":
        outcome = _other_part_refusal(outcome.part.contact, source.format.unstamped_id_column or "")
    if isinstance(outcome, Refusal):
        why = {"field": outcome.field[:500] or None, "reason": outcome.reason[:1000], "cure": outcome.cure or None}
        return {"verdict": "rejected", **why}
    if isinstance(outcome, StateNotice):
        agent = agent_key(outcome)
        row: dict[str, Any] = {"contact": agent, "kind": "agent_event"}
        if agent in told.held:
            return {**row, **_held_row(Held(agent, "unknown_agent", told.held[agent]), source.slug)}
        return {**row, "verdict": "accepted" if agent in told.changed else "unchanged"}
    part = outcome.part
    row = {"contact": part.contact, "kind": part.kind, "part_id": outcome.id}
    if outcome.classification == "repeated":
        return {**row, "verdict": "unchanged"}
    if outcome.classification == "older":
        return {**row, "verdict": "unchanged", "reason": "A newer version of this record is here already."}
    if held := merged.held.get(part.contact):
        return {**row, **_held_row(held, source.slug)}
    if outcome.classification == "first":
        return {**row, "verdict": "accepted"}
    changed = merged.root_of[part.contact] in merged.versions.changed
    return {**row, "verdict": "corrected" if changed else "unchanged"}


def _other_part_refusal(contact: str, column: str) -> Refusal:
    reason = f"Another row of the call {quote_value(contact)} has another agent or another start: it would be replaced."
    cure = (
        f"If a call has several rows, give each an id of its own in the mapping: `contact: {{from: [{column}, SEGMENT]}}` "
        f"and `initial: {{from: {column}}}`. If the row corrects the other one, map `updated`."
    )
    return Refusal(column, reason, cure)


def _held_row(held: Held, source: str) -> dict[str, Any]:
    if held.reason == "unknown_agent":
        cure = (
            f"It counts by queue and in total. Give a person of the directory the external id `{held.waits_for[0]}` for "
            f"the source `{source}`, and it counts for that person."
        )
        return {"verdict": "held", "field": "agent", "reason": "unknown_agent", "cure": cure}
    if held.reason == "ambiguous_time":
        cure = "The clocks went back in that hour: write times with their offset (…+02:00), and send the row again."
        return {"verdict": "held", "field": held.waits_for[0], "reason": "ambiguous_time", "cure": cure}
    if held.reason == "open_interaction":
        cure = "Nothing to do: it takes effect with the contact record of the finished call."
        return {"verdict": "held", "reason": "open_interaction", "cure": cure}
    cure = "Nothing to do if the contact record is still to come; else send it."
    return {"verdict": "held", "reason": "waiting_for_part", "cure": cure}
