"""Workdays of agents' states, and what people's days depend on, so that a change of the directory moves them."""

from alembic import op

revision = "2026_11_27_2045_workdays"
down_revision = "2026_11_27_0900_contents"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute("ALTER TABLE agent_state ADD COLUMN IF NOT EXISTS workday date")
    op.execute("ALTER TABLE known_person ADD COLUMN IF NOT EXISTS days jsonb")
