"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE agent_lock (
    tenant TEXT NOT NULL,
    agent_id UUID NOT NULL,
    CONSTRAINT pk_agent_lock PRIMARY KEY (tenant, agent_id)
);

CREATE TABLE band_stay (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    kpi TEXT NOT NULL,
    agent_id UUID NOT NULL,
    band TEXT NOT NULL,
    entered TEXT NOT NULL,
    "left" TEXT,
    from_band TEXT,
    to_band TEXT,
    model_version INTEGER NOT NULL,
    entry JSONB NOT NULL,
    exit JSONB NOT NULL,
    announced_at TIMESTAMP WITH TIME ZONE NOT NULL,
    retracted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_band_stay PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_band_stay_agent ON band_stay (tenant, agent_id, kpi);

CREATE TABLE fact (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    id UUID NOT NULL,
    leg SMALLINT DEFAULT '0' NOT NULL,
    version INTEGER NOT NULL,
    void BOOLEAN NOT NULL,
    agent_id UUID,
    workday DATE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    source TEXT,
    vendor TEXT,
    external_id TEXT,
    channel TEXT,
    direction TEXT,
    queue TEXT,
    reason TEXT,
    customer_key TEXT,
    state TEXT,
    form TEXT,
    first_leg BOOLEAN,
    last_leg BOOLEAN,
    answered BOOLEAN,
    abandoned BOOLEAN,
    transferred BOOLEAN,
    automatic_fail BOOLEAN,
    ring_ms BIGINT,
    queue_ms BIGINT,
    talk_ms BIGINT,
    hold_ms BIGINT,
    acw_ms BIGINT,
    handle_ms BIGINT,
    conversation_ms BIGINT,
    silence_vendor_ms BIGINT,
    overtalk_ms BIGINT,
    duration_ms BIGINT,
    interruptions BIGINT,
    transfers BIGINT,
    csat BIGINT,
    nps BIGINT,
    qa_score BIGINT,
    sentiment BIGINT,
    form_version INTEGER,
    gaps BIGINT[][],
    attributes JSONB,
    known_at TIMESTAMP WITH TIME ZONE DEFAULT 'epoch' NOT NULL,
    CONSTRAINT pk_fact PRIMARY KEY (tenant, kind, id, leg)
);
CREATE INDEX ix_fact_workday_agent ON fact (tenant, kind, workday, agent_id);

CREATE TABLE fact_version (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    id UUID NOT NULL,
    leg SMALLINT DEFAULT '0' NOT NULL,
    version INTEGER NOT NULL,
    void BOOLEAN NOT NULL,
    agent_id UUID,
    workday DATE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    source TEXT,
    vendor TEXT,
    external_id TEXT,
    channel TEXT,
    direction TEXT,
    queue TEXT,
    reason TEXT,
    customer_key TEXT,
    state TEXT,
    form TEXT,
    first_leg BOOLEAN,
    last_leg BOOLEAN,
    answered BOOLEAN,
    abandoned BOOLEAN,
    transferred BOOLEAN,
    automatic_fail BOOLEAN,
    ring_ms BIGINT,
    queue_ms BIGINT,
    talk_ms BIGINT,
    hold_ms BIGINT,
    acw_ms BIGINT,
    handle_ms BIGINT,
    conversation_ms BIGINT,
    silence_vendor_ms BIGINT,
    overtalk_ms BIGINT,
    duration_ms BIGINT,
    interruptions BIGINT,
    transfers BIGINT,
    csat BIGINT,
    nps BIGINT,
    qa_score BIGINT,
    sentiment BIGINT,
    form_version INTEGER,
    gaps BIGINT[][],
    attributes JSONB,
    known_at TIMESTAMP WITH TIME ZONE DEFAULT 'epoch' NOT NULL,
    CONSTRAINT pk_fact_version PRIMARY KEY (tenant, kind, id, leg, version)
);

CREATE TABLE kpi_head (
    tenant TEXT NOT NULL,
    kpi TEXT NOT NULL,
    version INTEGER NOT NULL,
    retired BOOLEAN DEFAULT 'false' NOT NULL,
    CONSTRAINT pk_kpi_head PRIMARY KEY (tenant, kpi)
);

CREATE TABLE kpi_model (
    tenant TEXT NOT NULL,
    kpi TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    content JSONB NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    published_by UUID,
    CONSTRAINT pk_kpi_model PRIMARY KEY (tenant, kpi, version)
);

CREATE TABLE partial (
    tenant TEXT NOT NULL,
    kpi TEXT NOT NULL,
    agent_id UUID NOT NULL,
    workday DATE NOT NULL,
    version INTEGER NOT NULL,
    sample BIGINT NOT NULL,
    components NUMERIC[] NOT NULL,
    CONSTRAINT pk_partial PRIMARY KEY (tenant, kpi, agent_id, workday)
);

-- Partials are rewritten in place by every batch: room in the page keeps that off the index.
ALTER TABLE partial SET (fillfactor = 70);
"""
_WALLED = (
    "agent_lock", "band_stay", "fact", "fact_version", "kpi_head", "kpi_model", "partial",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
