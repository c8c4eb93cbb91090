"""Bytes of a body in, records out, in bounded memory: JSON object, array, NDJSON or CSV, plain or gzip.

Nothing here raises on what a sender may send: whatever cannot be read becomes a record with a refusal, and what was
read before it stands.
"""

from ingest.model.payload.body import Payload
from ingest.model.payload.layout import Layout
from ingest.model.payload.record import CsvCells, Limits, Record

__all__ = ["CsvCells", "Layout", "Limits", "Payload", "Record"]
