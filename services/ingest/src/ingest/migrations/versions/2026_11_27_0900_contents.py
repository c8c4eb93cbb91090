"""The content of new versions of legs lies in documents; of those that are here already it stays in their rows."""

from alembic import op

revision = "2026_11_27_0900_contents"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute(
        "ALTER TABLE leg_version ADD COLUMN IF NOT EXISTS document uuid, ADD COLUMN IF NOT EXISTS position int, "
        "ALTER COLUMN content DROP NOT NULL"
    )
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_leg_version_document ON leg_version (tenant, document) WHERE position = 0"
    )
