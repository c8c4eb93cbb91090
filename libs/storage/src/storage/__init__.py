"""Sessions under row-level security, the outbox, offsets, migrations, documents."""

from storage.bulk import insert_rows, or_update, rows_of
from storage.documents import Document, DocumentDamaged, DocumentStore, JsonbDocuments
from storage.engine import create_engine, metadata, schema_name
from storage.listening import listen
from storage.migrate import PLATFORM, Migrations, UnknownRevision, migrate, prepare_schema
from storage.mongo import MongoDocuments
from storage.offsets import Move, OffsetMoved, attempts, begin_attempt, end_attempt, move_offsets, next_offset
from storage.outbox import Outbox
from storage.session import Session, Sessions, Timeouts, is_tenant
from storage.sweeping import Sweeper, discard, documents_for

__all__ = [
    "PLATFORM",
    "Document",
    "DocumentDamaged",
    "DocumentStore",
    "JsonbDocuments",
    "Migrations",
    "MongoDocuments",
    "Move",
    "OffsetMoved",
    "Outbox",
    "Session",
    "Sessions",
    "Sweeper",
    "Timeouts",
    "UnknownRevision",
    "attempts",
    "begin_attempt",
    "create_engine",
    "discard",
    "documents_for",
    "end_attempt",
    "insert_rows",
    "is_tenant",
    "listen",
    "metadata",
    "migrate",
    "move_offsets",
    "next_offset",
    "or_update",
    "prepare_schema",
    "rows_of",
    "schema_name",
]
