"""A stay in a band holds the windows for which it was confirmed."""

from alembic import op

revision = "2026_11_27_2210_stayed"
down_revision = "2026_11_27_2150_relation"


def upgrade() -> None:
    """Adds the column `band_stay.held`."""
    op.execute("ALTER TABLE band_stay ADD COLUMN IF NOT EXISTS held text[] NOT NULL DEFAULT '{}'")
