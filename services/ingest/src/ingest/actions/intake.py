"""Judging the records of a chunk: they are read and merged, and each gets a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
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
from ingest.store import records
from ingest.store.receipts import ReceiptRow
from ingest.store.records import InsertRecord, VerdictColumns

Outcome = Arrival | StateNotice | Refusal
"""What a record is read as: a part, a notice of an agent's state, or a refusal."""


@dataclass
class Chunk:
    """Records that are judged in one transaction, and what each was read as. `document`: the id of the document of their raw
    text, in this order. `size`: characters of raw text. `not_kept`: further rejected records, which are only counted."""

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
        """Reads a record and adds it. Returns what it was read as."""
        if not self.records:
            self.document = archive.document_id(self.receipt_id, record.number)
        self.outcomes.append(self._read(record))
        if record.raw.startswith("{"):
            record.value = None  # The raw text suffices from here on; the memory is free for the next record.
        self.records.append(record)
        self.size += len(record.raw)
        return self.outcomes[-1]

    def drop_last(self) -> None:
        """Drops the last record, and counts it in `not_kept`."""
        self.size -= len(self.records.pop().raw)
        self.outcomes.pop()
        self.not_kept += 1

    def truncate(self, count: int) -> int:
        """Drops all records after the first `count`. Returns how many."""
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
    """An empty chunk. `secret`: the key of the tenant's customer hashes."""
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
) -> list[InsertRecord]:
    """Judges the records of a chunk, adds new rows and the verdicts to `batch`, and returns the verdicts.

    `raw`: the document of the records, unless it is stored already. `replaced_parts`: parts that the same records were read
    as before, under another mapping. `rederive`: contacts and roots of these parts.
    """
    source, outcomes = chunk.source, chunk.outcomes
    arrivals = [outcome for outcome in outcomes if isinstance(outcome, Arrival)]
    notices = [outcome for outcome in outcomes if isinstance(outcome, StateNotice)]
    merged, state_changes = MergeResult(LegVersionCollector(session, documents, source), {}), StateChanges()
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
        state_changes = await record_notices(
            session, source.slug, notices, mode=chunk.mode, receipt_id=chunk.receipt_id
        )
    verdicts: list[InsertRecord] = [
        {
            "number": record.number,
            "line": record.line,
            "position": position,
            **_verdict(outcome, merged, state_changes, source),
        }
        for position, (record, outcome) in enumerate(zip(chunk.records, outcomes, strict=True))
    ]
    for row, record in zip(verdicts, chunk.records, strict=True):
        if record.is_whole_body:
            row["kind"] = records.BODY_KIND
    batch.add(records.RECORDS, verdicts)
    session.after_commit.append(partial(count_verdicts, [row["verdict"] for row in verdicts]))
    return verdicts


async def write_chunk(session: Session, chunk: Chunk, batch: MultiInsert) -> list[ReceiptRow]:
    """Writes the rows that `judge_chunk` added to the batch. Returns the receipt, if its upsert was added last."""
    rows = await session.insert_multi(
        batch,
        source=chunk.source.slug,
        receipt_id=chunk.receipt_id,
        document=chunk.document,
        known_at=session.now,
        since=session.now,
    )
    return [ReceiptRow(**row) for row in rows]


def _verdict(outcome: Outcome, merged: MergeResult, state_changes: StateChanges, source: Source) -> VerdictColumns:
    if isinstance(outcome, Arrival) and outcome.classification == "another":
        outcome = _other_part_refusal(outcome.part.contact, source.format.unstamped_id_column or "")
    if isinstance(outcome, Refusal):
        return {
            "verdict": "rejected",
            "field": outcome.field[:500] or None,
            "reason": outcome.reason[:1000],
            "cure": outcome.cure or None,
        }
    if isinstance(outcome, StateNotice):
        agent = agent_key(outcome)
        if agent in state_changes.held:
            held = _held_columns(Held(agent, "unknown_agent", state_changes.held[agent]), source.slug)
            return {**held, "contact": agent, "kind": "agent_event"}
        verdict = "accepted" if agent in state_changes.changed else "unchanged"
        return {"verdict": verdict, "contact": agent, "kind": "agent_event"}
    columns = _part_verdict(outcome, merged, source)
    columns["contact"], columns["kind"], columns["part_id"] = outcome.part.contact, outcome.part.kind, outcome.id
    return columns


def _part_verdict(arrival: Arrival, merged: MergeResult, source: Source) -> VerdictColumns:
    if arrival.classification == "repeated":
        return {"verdict": "unchanged"}
    if arrival.classification == "older":
        return {"verdict": "unchanged", "reason": "A newer version of this record is here already."}
    if held := merged.held.get(arrival.part.contact):
        return _held_columns(held, source.slug)
    if arrival.classification == "first":
        return {"verdict": "accepted"}
    changed = merged.root_of[arrival.part.contact] in merged.versions.changed
    return {"verdict": "corrected" if changed else "unchanged"}


def _other_part_refusal(contact: str, column: str) -> Refusal:
    reason = f"Another row of the call {quote_value(contact)} has another agent or another start: it would be replaced."
    cure = (
        f"If a call has several rows, give each an id of its own in the mapping: `contact: {{from: [{column}, SEGMENT]}}` "
        f"and `initial: {{from: {column}}}`. If the row corrects the other one, map `updated`."
    )
    return Refusal(column, reason, cure)


def _held_columns(held: Held, source: str) -> VerdictColumns:
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
