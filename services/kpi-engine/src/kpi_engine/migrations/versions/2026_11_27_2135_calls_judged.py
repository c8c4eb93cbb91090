"""Submissions know the call that they judge."""

from alembic import op

revision = "2026_11_27_2135_calls_judged"
down_revision = "2026_11_27_2130_waiting"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    for table in ("fact", "fact_version"):
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS call_id uuid, ADD COLUMN IF NOT EXISTS call_leg smallint, "
            "ADD COLUMN IF NOT EXISTS named_agent_id uuid, ADD COLUMN IF NOT EXISTS named_workday date"
        )
    op.execute("CREATE INDEX IF NOT EXISTS ix_fact_call ON fact (tenant, call_id) WHERE call_id IS NOT NULL")
