"""Facts that wait for their agent or their call."""

from alembic import op

revision = "2026_11_27_2110_held"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    for table in ("fact", "fact_version"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS held text")
