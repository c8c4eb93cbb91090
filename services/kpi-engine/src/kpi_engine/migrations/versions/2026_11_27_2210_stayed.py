"""Of a stay in a band it is known in which windows it was said to go on."""

from alembic import op

revision = "2026_11_27_2210_stayed"
down_revision = "2026_11_27_2150_relation"


def upgrade() -> None:
    op.execute("ALTER TABLE band_stay ADD COLUMN IF NOT EXISTS held text[] NOT NULL DEFAULT '{}'")
