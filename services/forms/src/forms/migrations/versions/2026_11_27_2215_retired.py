"""Forms that nobody fills in any more."""

from alembic import op

revision = "2026_11_27_2215_retired"
down_revision = "2026_11_27_2125_leg"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute("ALTER TABLE form ADD COLUMN IF NOT EXISTS retired boolean NOT NULL DEFAULT false")
