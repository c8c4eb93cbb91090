"""Rules, texts, webhooks, notices, deliveries."""

from alembic import op
from notification.store.tables import tables
from storage import create_own_tables, create_tables

revision = "2026_11_23_0900_first"
down_revision = None


def upgrade() -> None:
    create_own_tables(op)
    create_tables(op, tables)
