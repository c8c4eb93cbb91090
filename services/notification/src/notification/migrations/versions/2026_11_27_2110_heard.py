"""Of each thing that people are told of, the newest version that was heard."""

from alembic import op
from sqlalchemy import inspect
from storage.migrate import wall_off

revision = "2026_11_27_2110_heard"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    connection = op.get_bind()
    if not inspect(connection).has_table("heard"):
        op.execute(
            "CREATE TABLE heard (tenant text, subject text, version bigint NOT NULL, PRIMARY KEY (tenant, subject))"
        )
        wall_off(connection, "heard")
