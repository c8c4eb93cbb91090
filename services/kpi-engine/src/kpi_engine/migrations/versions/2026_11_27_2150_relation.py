"""How a leg came from the one before it."""

from alembic import op

revision = "2026_11_27_2150_relation"
down_revision = "2026_11_27_2140_told_version"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    for table in ("fact", "fact_version"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS relation text")
