"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE agent_name (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    agent TEXT NOT NULL,
    names TEXT[] NOT NULL,
    CONSTRAINT pk_agent_name PRIMARY KEY (tenant, source, agent)
);

CREATE TABLE agent_point (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    agent TEXT NOT NULL,
    at BIGINT NOT NULL,
    receipt_id UUID NOT NULL,
    state TEXT,
    stamp BIGINT NOT NULL,
    mode TEXT NOT NULL,
    CONSTRAINT pk_agent_point PRIMARY KEY (tenant, source, agent, at, receipt_id)
);
CREATE INDEX ix_agent_point_receipt ON agent_point (tenant, receipt_id);

CREATE TABLE agent_state (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    agent TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT,
    state TEXT NOT NULL,
    state_id UUID NOT NULL,
    version INTEGER NOT NULL,
    void BOOLEAN NOT NULL,
    mode TEXT NOT NULL,
    agent_id UUID NOT NULL,
    CONSTRAINT pk_agent_state PRIMARY KEY (tenant, source, agent, started)
);

CREATE TABLE held (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    contact TEXT NOT NULL,
    root TEXT NOT NULL,
    reason TEXT NOT NULL,
    waits_for TEXT[] NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_held PRIMARY KEY (tenant, source, contact)
);
CREATE INDEX ix_held_root ON held (tenant, source, root);

CREATE TABLE interaction (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    source TEXT NOT NULL,
    root TEXT NOT NULL,
    CONSTRAINT pk_interaction PRIMARY KEY (tenant, id)
);

CREATE TABLE known_person (
    tenant TEXT NOT NULL,
    person_id UUID NOT NULL,
    external_ids JSONB NOT NULL,
    CONSTRAINT pk_known_person PRIMARY KEY (tenant, person_id)
);

CREATE TABLE leg (
    tenant TEXT NOT NULL,
    interaction_id UUID NOT NULL,
    leg INTEGER NOT NULL,
    source TEXT NOT NULL,
    root TEXT NOT NULL,
    external_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    void BOOLEAN NOT NULL,
    mode TEXT NOT NULL,
    hash UUID NOT NULL,
    agent_id UUID,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    workday DATE NOT NULL,
    CONSTRAINT pk_leg PRIMARY KEY (tenant, interaction_id, leg)
);
CREATE INDEX ix_leg_agent ON leg (tenant, agent_id, started_at);
CREATE INDEX ix_leg_external ON leg (tenant, external_id);
CREATE INDEX ix_leg_root ON leg (tenant, source, root);

CREATE TABLE leg_version (
    tenant TEXT NOT NULL,
    interaction_id UUID NOT NULL,
    leg INTEGER NOT NULL,
    version INTEGER NOT NULL,
    void BOOLEAN NOT NULL,
    mode TEXT NOT NULL,
    known_at TIMESTAMP WITH TIME ZONE NOT NULL,
    receipt_id UUID,
    content JSONB NOT NULL,
    CONSTRAINT pk_leg_version PRIMARY KEY (tenant, interaction_id, leg, version)
);

CREATE TABLE part (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    source TEXT NOT NULL,
    root TEXT NOT NULL,
    contact TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash UUID NOT NULL,
    stamp BIGINT,
    initial TEXT,
    facts JSONB NOT NULL,
    mode TEXT NOT NULL,
    receipt_id UUID NOT NULL,
    document TEXT NOT NULL,
    position INTEGER NOT NULL,
    CONSTRAINT pk_part PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_part_root ON part (tenant, source, root);
CREATE UNIQUE INDEX uq_part_content ON part (tenant, source, contact, kind, hash);

CREATE TABLE receipt (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    source TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    sent_by UUID NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    touched_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    idempotency_key TEXT,
    digest TEXT,
    notes JSONB DEFAULT '[]' NOT NULL,
    bytes BIGINT DEFAULT '0' NOT NULL,
    received INTEGER DEFAULT '0' NOT NULL,
    accepted INTEGER DEFAULT '0' NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    corrected INTEGER DEFAULT '0' NOT NULL,
    held INTEGER DEFAULT '0' NOT NULL,
    rejected INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_receipt PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_receipt_key ON receipt (tenant, sent_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_receipt_received ON receipt (tenant, received_at, id);
CREATE INDEX ix_receipt_source ON receipt (tenant, source, received_at);

CREATE TABLE record (
    tenant TEXT NOT NULL,
    receipt_id UUID NOT NULL,
    number INTEGER NOT NULL,
    line INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    field TEXT,
    reason TEXT,
    cure TEXT,
    contact TEXT,
    kind TEXT,
    part_id UUID,
    document TEXT NOT NULL,
    position INTEGER NOT NULL,
    CONSTRAINT pk_record PRIMARY KEY (tenant, receipt_id, number)
);
CREATE INDEX ix_record_part ON record (tenant, part_id) WHERE part_id IS NOT NULL;
CREATE INDEX ix_record_problem ON record (tenant, receipt_id, number) WHERE verdict IN ('rejected', 'held');

CREATE TABLE source (
    tenant TEXT NOT NULL,
    slug TEXT NOT NULL,
    vendor TEXT NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    options JSONB NOT NULL,
    mapping JSONB,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_source PRIMARY KEY (tenant, slug)
);

CREATE INDEX ix_held_waits_for ON held USING gin (waits_for);
-- Heads are rewritten in place by every correction: room in the page keeps that off the index.
ALTER TABLE leg SET (fillfactor = 80);
"""
_WALLED = (
    "agent_name", "agent_point", "agent_state", "held", "interaction", "known_person", "leg", "leg_version", "part",
    "receipt", "record", "source",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
