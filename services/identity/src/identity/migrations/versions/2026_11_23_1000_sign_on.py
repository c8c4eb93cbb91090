"""What the login provider shall hold, and which logout tokens were heard."""

from alembic import op
from identity.store.tables import logout_token, provision, tables
from sqlalchemy import inspect
from storage.migrate import wall_off

revision = "2026_11_23_1000_sign_on"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    connection = op.get_bind()
    there = set(inspect(connection).get_table_names())
    # A schema that is made today has them from the revision before.
    for table in (provision, logout_token):
        if table.name not in there:
            tables.create_all(connection, [table])
            wall_off(connection, table)
