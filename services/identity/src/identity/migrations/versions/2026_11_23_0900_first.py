"""The first tables."""

from alembic import op
from identity.store.tables import tables
from storage import create_own_tables, create_tables

revision = "2026_11_23_0900_first"
down_revision = None


def upgrade() -> None:
    create_own_tables(op)
    create_tables(op, tables)
