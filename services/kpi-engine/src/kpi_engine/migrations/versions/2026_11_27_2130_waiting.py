"""Facts that wait until the tenant's models were changed."""

from alembic import op

revision = "2026_11_27_2130_waiting"
down_revision = "2026_11_27_2110_held"

_TABLES = """
CREATE TABLE IF NOT EXISTS waiting_fact (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    mode TEXT NOT NULL,
    headers JSONB NOT NULL,
    key TEXT NOT NULL,
    value BYTEA NOT NULL,
    CONSTRAINT pk_waiting_fact PRIMARY KEY (tenant, id)
);
"""
_WALLED = (
    "waiting_fact",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'DROP POLICY IF EXISTS tenant_wall ON "{table}"')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
