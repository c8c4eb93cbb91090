"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE audit (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    CONSTRAINT pk_audit PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_audit_subject ON audit (tenant, subject);

CREATE TABLE blueprint (
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    sections JSON NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    published_by TEXT NOT NULL,
    CONSTRAINT pk_blueprint PRIMARY KEY (tenant, version)
);

CREATE TABLE customer (
    tenant TEXT NOT NULL,
    slug TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_customer PRIMARY KEY (tenant, slug)
);

CREATE TABLE external_id (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    person_id UUID NOT NULL,
    CONSTRAINT pk_external_id PRIMARY KEY (tenant, source, external_id, valid_from)
);
CREATE INDEX ix_external_id_person ON external_id (tenant, person_id);

CREATE TABLE login (
    tenant TEXT NOT NULL,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    person_id UUID NOT NULL,
    CONSTRAINT pk_login PRIMARY KEY (tenant, iss, sub)
);
CREATE INDEX ix_login_person ON login (tenant, person_id);

CREATE TABLE membership (
    tenant TEXT NOT NULL,
    person_id UUID NOT NULL,
    org_unit_id UUID NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    CONSTRAINT pk_membership PRIMARY KEY (tenant, person_id, org_unit_id, valid_from)
);
CREATE INDEX ix_membership_org_unit ON membership (tenant, org_unit_id);

CREATE TABLE org_unit (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    path UUID[] NOT NULL,
    state JSONB NOT NULL,
    CONSTRAINT pk_org_unit PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX uq_org_unit_slug ON org_unit (tenant, slug);

CREATE TABLE person (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    state JSONB NOT NULL,
    CONSTRAINT pk_person PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX uq_person_slug ON person (tenant, slug);

CREATE TABLE section (
    tenant TEXT NOT NULL,
    service TEXT NOT NULL,
    applied_version INTEGER,
    rejected_version INTEGER,
    problems JSONB NOT NULL,
    content JSON,
    CONSTRAINT pk_section PRIMARY KEY (tenant, service)
);

CREATE TABLE tenant (
    tenant TEXT NOT NULL,
    state JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_tenant PRIMARY KEY (tenant)
);
"""
_WALLED = (
    "audit", "blueprint", "customer", "external_id", "login", "membership", "org_unit", "person", "section", "tenant",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
