"""The first tables."""

from alembic import op
from kpi_engine.store.tables import tables
from storage import create_own_tables, create_tables

revision = "2026_11_23_0900_first"
down_revision = None


def upgrade() -> None:
    create_own_tables(op)
    create_tables(op, tables)
    # Partials are rewritten in place by every batch: room in the page keeps that off the index.
    op.execute("ALTER TABLE partial SET (fillfactor = 70)")
