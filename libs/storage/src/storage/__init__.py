"""Sessions under row-level security, the outbox, offsets, migrations, documents."""

from storage.documents import Document, DocumentStore, JsonbDocuments
from storage.engine import create_engine, metadata, schema_name
from storage.listening import listen
from storage.migrate import Migrations, create_own_tables, create_tables, migrate, prepare_schema, wall_off
from storage.offsets import OffsetMoved, move_offset, next_offset
from storage.outbox import Outbox
from storage.session import Session, Sessions, is_tenant

__all__ = [
    "Document",
    "DocumentStore",
    "JsonbDocuments",
    "Migrations",
    "OffsetMoved",
    "Outbox",
    "Session",
    "Sessions",
    "create_engine",
    "create_own_tables",
    "create_tables",
    "is_tenant",
    "listen",
    "metadata",
    "migrate",
    "move_offset",
    "next_offset",
    "prepare_schema",
    "schema_name",
    "wall_off",
]
