"""What other services' sections name, beside what they have."""

from alembic import op

revision = "2026_11_28_0045_named"
down_revision = "2026_11_27_2230_grown"


def upgrade() -> None:
    op.execute("ALTER TABLE section_names ADD COLUMN IF NOT EXISTS named JSONB")
