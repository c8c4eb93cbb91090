"""The tables every service has: outbox, offsets, dead letters, due items, documents, its copy of the directory."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE blueprint_section (
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    event_id UUID NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE consumer_offset (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE dead_letter (
    id UUID NOT NULL,
    tenant TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    key TEXT NOT NULL,
    headers JSONB NOT NULL,
    value BYTEA,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL,
    buried_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    replayed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX uq_dead_letter_place ON dead_letter (topic, partition, "offset");

CREATE TABLE directory_external_id (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    person_id UUID NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    PRIMARY KEY (tenant, source, external_id, person_id, valid_from)
);
CREATE INDEX ix_directory_external_id_person ON directory_external_id (tenant, person_id);

CREATE TABLE directory_login (
    tenant TEXT NOT NULL,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    person_id UUID NOT NULL,
    PRIMARY KEY (tenant, iss, sub)
);
CREATE INDEX ix_directory_login_person ON directory_login (tenant, person_id);

CREATE TABLE directory_membership (
    tenant TEXT NOT NULL,
    person_id UUID NOT NULL,
    org_unit_id UUID NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    PRIMARY KEY (tenant, person_id, org_unit_id, valid_from)
);
CREATE INDEX ix_directory_membership_org_unit ON directory_membership (tenant, org_unit_id);

CREATE TABLE directory_org_unit (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    path UUID[] NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_directory_org_unit_slug ON directory_org_unit (tenant, slug);

CREATE TABLE directory_person (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_directory_person_slug ON directory_person (tenant, slug);

CREATE TABLE directory_tenant (
    tenant TEXT NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE document (
    tenant TEXT NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    body JSONB NOT NULL,
    blob BYTEA,
    sha256 TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (tenant, collection, id)
);

CREATE TABLE due_item (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    body JSONB NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    turn TEXT,
    PRIMARY KEY (tenant, kind, ref)
);
CREATE INDEX ix_due_item_at ON due_item (at);

CREATE TABLE ended_session (
    iss TEXT NOT NULL,
    ref TEXT NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (iss, ref)
);

CREATE TABLE idempotent_response (
    tenant TEXT NOT NULL,
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers JSONB NOT NULL,
    body BYTEA NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, caller, key)
);

CREATE TABLE outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    key TEXT NOT NULL,
    headers JSONB NOT NULL,
    value BYTEA,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX ix_outbox_partition_seq ON outbox (partition, seq);

CREATE TABLE tenant_clock (
    tenant TEXT NOT NULL,
    now TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant)
);
"""
_WALLED = (
    "blueprint_section", "dead_letter", "directory_external_id", "directory_login", "directory_membership",
    "directory_org_unit", "directory_person", "directory_tenant", "document", "idempotent_response",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
