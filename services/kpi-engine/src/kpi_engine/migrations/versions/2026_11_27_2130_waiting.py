"""Facts that wait until the tenant's models were changed."""

from alembic import op
from kpi_engine.store.tables import waiting_fact
from sqlalchemy import inspect
from storage.migrate import wall_off

revision = "2026_11_27_2130_waiting"
down_revision = "2026_11_27_2110_held"


def upgrade() -> None:
    # A schema that is made today has it from the first revision.
    connection = op.get_bind()
    if not inspect(connection).has_table("waiting_fact"):
        waiting_fact.create(connection)
        wall_off(connection, waiting_fact)
