"""Sessions under row-level security, the outbox, offsets, migrations, documents."""

from storage.documents import Document, DocumentCorrupted, DocumentStore, JsonbDocumentStore
from storage.engine import create_engine, create_metadata, schema_name
from storage.inserts import InsertSpec, MultiInsert, encode_rows, on_conflict_update
from storage.locks import lock_async_connection, lock_connection, lock_sql
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
from storage.report_views import add_report_view
from storage.session import Session, Timeouts, is_valid_tenant_name
from storage.sessions import Sessions
from storage.sweeping import Sweeper, create_document_store, schedule_discard

__all__ = [
    "PLATFORM",
    "Document",
    "DocumentCorrupted",
    "DocumentStore",
    "InsertSpec",
    "JsonbDocumentStore",
    "Migrations",
    "MongoDocumentStore",
    "MultiInsert",
    "OffsetConflict",
    "OffsetUpdate",
    "Outbox",
    "Session",
    "Sessions",
    "Sweeper",
    "Timeouts",
    "UnknownRevision",
    "add_report_view",
    "begin_attempt",
    "count_attempts",
    "create_document_store",
    "create_engine",
    "create_metadata",
    "encode_rows",
    "end_attempt",
    "ensure_schema",
    "is_valid_tenant_name",
    "listen",
    "load_next_offset",
    "lock_async_connection",
    "lock_connection",
    "lock_sql",
    "migrate",
    "move_offsets",
    "on_conflict_update",
    "schedule_discard",
    "schema_name",
]
