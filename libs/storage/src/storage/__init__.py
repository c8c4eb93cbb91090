"""Sessions under row-level security, the outbox, offsets, migrations, documents."""

from storage.bulk import build_insert, build_on_conflict_update, encode_rows_parameter
from storage.documents import Document, DocumentCorrupted, DocumentStore, JsonbDocumentStore
from storage.engine import create_engine, create_metadata, schema_name
from storage.migrate import PLATFORM, Migrations, UnknownRevision, ensure_schema, migrate
from storage.mongo import MongoDocumentStore
from storage.notifications import listen
from storage.offsets import (
    OffsetConflict,
    OffsetUpdate,
    begin_attempt,
    count_attempts,
    end_attempt,
    load_next_offset,
    move_offsets,
)
from storage.outbox import Outbox
from storage.session import Session, Sessions, Timeouts, is_valid_tenant_name
from storage.sweeping import Sweeper, create_document_store, schedule_discard

__all__ = [
    "PLATFORM",
    "Document",
    "DocumentCorrupted",
    "DocumentStore",
    "JsonbDocumentStore",
    "Migrations",
    "MongoDocumentStore",
    "OffsetConflict",
    "OffsetUpdate",
    "Outbox",
    "Session",
    "Sessions",
    "Sweeper",
    "Timeouts",
    "UnknownRevision",
    "begin_attempt",
    "build_insert",
    "build_on_conflict_update",
    "count_attempts",
    "create_document_store",
    "create_engine",
    "create_metadata",
    "encode_rows_parameter",
    "end_attempt",
    "ensure_schema",
    "is_valid_tenant_name",
    "listen",
    "load_next_offset",
    "migrate",
    "move_offsets",
    "schedule_discard",
    "schema_name",
]
