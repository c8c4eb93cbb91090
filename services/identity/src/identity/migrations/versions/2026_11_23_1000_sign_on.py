"""What the login provider shall hold, and which logout tokens were heard."""

from alembic import op

revision = "2026_11_23_1000_sign_on"
down_revision = "2026_11_23_0900_first"

_TABLES = """
CREATE TABLE IF NOT EXISTS logout_token (
    tenant TEXT NOT NULL,
    jti TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_logout_token PRIMARY KEY (tenant, jti)
);

CREATE TABLE IF NOT EXISTS provision (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    slug TEXT NOT NULL,
    wanted JSONB NOT NULL,
    leaving BOOLEAN NOT NULL,
    sealed TEXT,
    state TEXT NOT NULL,
    error TEXT,
    attempts INTEGER NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_provision PRIMARY KEY (tenant, kind, slug)
);
"""
_WALLED = (
    "logout_token", "provision",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'DROP POLICY IF EXISTS tenant_wall ON "{table}"')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
