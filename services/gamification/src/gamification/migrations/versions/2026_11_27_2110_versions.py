"""Scores and stays in bands have versions."""

from alembic import op

revision = "2026_11_27_2110_versions"
down_revision = "2026_11_23_0900_first"

_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute("ALTER TABLE score_day ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0")
    op.execute(
        "CREATE TABLE IF NOT EXISTS heard_stay (tenant text, band_event_id uuid, version bigint NOT NULL, "
        "CONSTRAINT pk_heard_stay PRIMARY KEY (tenant, band_event_id))"
    )
    op.execute("ALTER TABLE heard_stay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute("DROP POLICY IF EXISTS tenant_wall ON heard_stay")
    op.execute(f"CREATE POLICY tenant_wall ON heard_stay USING ({_WALL}) WITH CHECK ({_WALL})")
