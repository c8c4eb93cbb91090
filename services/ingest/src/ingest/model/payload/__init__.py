"""Reads the bytes of a body as records, in bounded memory: JSON object, array, NDJSON or CSV, plain or gzip.

`Payload` raises nothing because of the content of a body: what cannot be read becomes a record with a refusal. Records that
were read before it stay.
"""

from ingest.model.payload.body import Payload
from ingest.model.payload.layout import Layout
from ingest.model.payload.record import CsvCells, Limits, Record

__all__ = ["CsvCells", "Layout", "Limits", "Payload", "Record"]
