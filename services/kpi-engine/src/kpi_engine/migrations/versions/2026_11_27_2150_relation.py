"""Facts hold how a leg follows from the leg before it."""

from alembic import op

revision = "2026_11_27_2150_relation"
down_revision = "2026_11_27_2140_told_version"


def upgrade() -> None:
    """Adds the column `relation` to the tables of facts."""
    # A schema that was made before the first revision was frozen may have it already.
    for table in ("fact", "fact_version"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS relation text")
