"""A submission may name the leg that it judges."""

from alembic import op

revision = "2026_11_27_2125_leg"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute("ALTER TABLE submission ADD COLUMN IF NOT EXISTS leg integer")
