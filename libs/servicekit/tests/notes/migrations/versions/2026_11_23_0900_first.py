from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE effect (
    tenant TEXT NOT NULL,
    ref TEXT NOT NULL,
    seen INTEGER NOT NULL,
    times INTEGER NOT NULL,
    CONSTRAINT pk_effect PRIMARY KEY (tenant, ref)
);
CREATE TABLE note (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    text TEXT NOT NULL,
    CONSTRAINT pk_note PRIMARY KEY (tenant, id),
    CONSTRAINT uq_note_tenant UNIQUE (tenant, text) DEFERRABLE INITIALLY DEFERRED
);
"""
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in ("effect", "note"):
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
