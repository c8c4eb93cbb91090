"""Of many rejected records only the number is kept."""

from alembic import op

revision = "2026_11_27_2110_not_kept"
down_revision = "2026_11_27_2045_workdays"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute("ALTER TABLE receipt ADD COLUMN IF NOT EXISTS not_kept int NOT NULL DEFAULT 0")
