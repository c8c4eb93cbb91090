"""What the directory says has a version, and a section's content the event that it comes from."""

from alembic import op

revision = "2026_11_27_2100_versions"
down_revision = "2026_11_27_1000_own_providers"


def upgrade() -> None:
    for table in ("tenant", "org_unit", "person"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS version integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE section ADD COLUMN IF NOT EXISTS event_id uuid")
