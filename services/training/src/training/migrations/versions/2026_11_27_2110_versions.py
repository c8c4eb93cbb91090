"""What is known of a stay and of an assignment has a version."""

from alembic import op

revision = "2026_11_27_2110_versions"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    op.execute("ALTER TABLE band_stay ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE assignment ADD COLUMN IF NOT EXISTS version integer NOT NULL DEFAULT 1")
