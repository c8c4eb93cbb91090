"""Raw records as they were received: one document for each chunk, gzip NDJSON, one line a record."""

import gzip
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from storage import Document
from storage.documents import MAX_DOCUMENT_BYTES

from ingest.model.payload import CsvCells, Limits, Payload, Record
from ingest.model.refusal import Refusal

_DOCUMENT_OVERHEAD_BYTES = 1000  # an upper bound of a document's size without its packed lines
_TRUNCATED_CHARS = 1000
RAW = "raw"
SPOOL = "spool"


class _Line(msgspec.Struct, omit_defaults=True):
    """A record. `row`: the cells of a CSV row by column. `refusal`: field, reason and cure, for a record that is not JSON or
    CSV."""

    number: int
    line: int
    raw: str
    row: dict[str, str] | None = None
    refusal: tuple[str, str, str] | None = None


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(_Line).decode


def document_id(receipt_id: UUID, number: int) -> str:
    """The id of the document whose first record has this number; ids sort by receipt and number."""
    return f"{receipt_id}-{number:09d}"


def pack_records(receipt_id: UUID, records: Sequence[Record]) -> Document:
    """The document of these records, of which there is at least one."""
    lines = b"\n".join(_encode(_line(record)) for record in records)
    body: dict[str, Any] = {"receipt": str(receipt_id), "records": len(records)}
    return Document(document_id(receipt_id, records[0].number), body, gzip.compress(lines, 1, mtime=0))


def truncate_oversized(record: Record) -> Record:
    """The record if it fits into a document; else its first characters with a refusal."""
    size = len(gzip.compress(_encode(_line(record)), 1))
    if size <= MAX_DOCUMENT_BYTES - _DOCUMENT_OVERHEAD_BYTES:
        return record
    reason = f"Packed with gzip, the record has {size:,} bytes; at most {MAX_DOCUMENT_BYTES - _DOCUMENT_OVERHEAD_BYTES:,} can be kept of one."
    refusal = Refusal("", reason, "Send it without what is not about the call's course, such as recordings or texts.")
    return Record(record.number, record.line, record.raw[:_TRUNCATED_CHARS], refusal=refusal)


def _line(record: Record) -> _Line:
    refusal = record.refusal and (record.refusal.field, record.refusal.reason, record.refusal.cure)
    row = record.value if record.value is not None and not record.raw.startswith("{") else None
    return _Line(record.number, record.line, record.raw, row, refusal)


def unpack_records(document: Document) -> list[Record]:
    """The records as they were read from the body."""
    return [_record(_decode(line)) for line in gzip.decompress(document.blob or b"").split(b"\n")]


def unpack_raw_text(document: Document, position: int) -> str:
    """The text of the record at this line, from 0."""
    return _decode(gzip.decompress(document.blob or b"").split(b"\n")[position]).raw


def _record(line: _Line) -> Record:
    refusal = Refusal(*line.refusal) if line.refusal else None
    if line.row is not None or refusal is not None:
        return Record(line.number, line.line, line.raw, line.row and CsvCells(line.row), refusal)
    data = line.raw.encode()
    payload = Payload(Limits(record_bytes=len(data)))  # accepted before, whatever the limit is now
    (record,) = [*payload.feed(data), *payload.close()]
    return Record(line.number, line.line, line.raw, record.value, record.refusal)
