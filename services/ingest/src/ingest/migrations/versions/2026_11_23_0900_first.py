"""The first tables."""

from alembic import op
from ingest.store.tables import tables
from storage import create_own_tables, create_tables

revision = "2026_11_23_0900_first"
down_revision = None


def upgrade() -> None:
    create_own_tables(op)
    create_tables(op, tables)
    op.execute("CREATE INDEX ix_held_waits_for ON held USING gin (waits_for)")
    # Heads are rewritten in place by every correction: room in the page keeps that off the index.
    op.execute("ALTER TABLE leg SET (fillfactor = 80)")
