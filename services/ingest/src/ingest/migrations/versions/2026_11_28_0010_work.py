"""A receipt that is replayed or undone tells how far that is."""

from alembic import op

revision = "2026_11_28_0010_work"
down_revision = "2026_11_27_2110_not_kept"


def upgrade() -> None:
    op.execute("ALTER TABLE receipt ADD COLUMN IF NOT EXISTS work jsonb")
