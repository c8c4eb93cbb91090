"""Scores and stays in bands have versions."""

from alembic import op
from sqlalchemy import inspect
from storage.migrate import wall_off

revision = "2026_11_27_2110_versions"
down_revision = "2026_11_23_0900_first"


def upgrade() -> None:
    op.execute("ALTER TABLE score_day ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0")
    connection = op.get_bind()
    if not inspect(connection).has_table("heard_stay"):
        op.execute(
            "CREATE TABLE heard_stay (tenant text, band_event_id uuid, version bigint NOT NULL, "
            "PRIMARY KEY (tenant, band_event_id))"
        )
        wall_off(connection, "heard_stay")
