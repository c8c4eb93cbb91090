"""Tenants in the outbox, attempts, leases, names of sections, versions of the directory's states.

Until now these tables grew without revisions: a schema may have any of this already.
"""

from alembic import op

revision = "2026_11_27_2230_grown"
down_revision = "2026_11_23_0900_first"

_TABLES = """
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS tenant TEXT DEFAULT '' NOT NULL;
CREATE INDEX IF NOT EXISTS ix_outbox_tenant_topic_seq ON outbox (tenant, topic, seq);
ALTER TABLE consumer_offset ADD COLUMN IF NOT EXISTS begun BIGINT,
    ADD COLUMN IF NOT EXISTS attempts INTEGER DEFAULT '0' NOT NULL;
ALTER TABLE due_item ADD COLUMN IF NOT EXISTS lease UUID,
    ADD COLUMN IF NOT EXISTS leased_until TIMESTAMP WITH TIME ZONE;
CREATE INDEX IF NOT EXISTS ix_due_item_tenant ON due_item (tenant, at);

CREATE TABLE IF NOT EXISTS section_names (
    tenant TEXT NOT NULL,
    service TEXT NOT NULL,
    names JSONB NOT NULL,
    event_id UUID NOT NULL,
    PRIMARY KEY (tenant, service)
);
CREATE TABLE IF NOT EXISTS directory_version (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    erased BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, key)
);
"""
_WALLED = ("section_names", "directory_version")
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'DROP POLICY IF EXISTS tenant_wall ON "{table}"')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
