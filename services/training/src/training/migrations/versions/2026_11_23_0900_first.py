"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE assignment (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    agent_id UUID NOT NULL,
    template TEXT NOT NULL,
    template_version INTEGER NOT NULL,
    status TEXT NOT NULL,
    rule TEXT,
    band_event_id UUID,
    kpi TEXT,
    band TEXT,
    evidence JSONB,
    withdraw_when_left BOOLEAN DEFAULT false NOT NULL,
    due_days INTEGER,
    assigned_by UUID,
    assigned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    overdue_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    withdrawn_reason TEXT,
    corrected BOOLEAN DEFAULT false NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    score_percent INTEGER,
    passed BOOLEAN,
    CONSTRAINT pk_assignment PRIMARY KEY (tenant, id),
    CONSTRAINT uq_assignment_tenant UNIQUE (tenant, rule, band_event_id)
);
CREATE INDEX ix_assignment_agent ON assignment (tenant, agent_id, assigned_at);
CREATE INDEX ix_assignment_band_event ON assignment (tenant, band_event_id);
CREATE INDEX ix_assignment_newest ON assignment (tenant, assigned_at, id);
CREATE INDEX ix_assignment_template ON assignment (tenant, template, status);

CREATE TABLE attempt (
    tenant TEXT NOT NULL,
    assignment_id UUID NOT NULL,
    number INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    answers JSONB NOT NULL,
    score_percent INTEGER NOT NULL,
    passed BOOLEAN NOT NULL,
    CONSTRAINT pk_attempt PRIMARY KEY (tenant, assignment_id, number)
);

CREATE TABLE band_stay (
    tenant TEXT NOT NULL,
    band_event_id UUID NOT NULL,
    agent_id UUID NOT NULL,
    kpi TEXT NOT NULL,
    band TEXT NOT NULL,
    model_version INTEGER NOT NULL,
    entered_on DATE,
    left_on DATE,
    retracted BOOLEAN DEFAULT false NOT NULL,
    heard UUID[] NOT NULL,
    CONSTRAINT pk_band_stay PRIMARY KEY (tenant, band_event_id)
);
CREATE INDEX ix_band_stay_kpi ON band_stay (tenant, kpi, agent_id);

CREATE TABLE content (
    tenant TEXT NOT NULL,
    document TEXT NOT NULL,
    template TEXT NOT NULL,
    hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    title JSONB NOT NULL,
    saved_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_content PRIMARY KEY (tenant, document)
);

CREATE TABLE rule (
    tenant TEXT NOT NULL,
    slug TEXT NOT NULL,
    body JSONB NOT NULL,
    CONSTRAINT pk_rule PRIMARY KEY (tenant, slug)
);

CREATE TABLE skipped (
    tenant TEXT NOT NULL,
    rule TEXT NOT NULL,
    band_event_id UUID NOT NULL,
    agent_id UUID NOT NULL,
    template TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_skipped PRIMARY KEY (tenant, rule, band_event_id)
);
CREATE INDEX ix_skipped_newest ON skipped (tenant, at, band_event_id, rule);

CREATE TABLE template (
    tenant TEXT NOT NULL,
    slug TEXT NOT NULL,
    draft TEXT,
    scheduled TEXT,
    scheduled_at TIMESTAMP WITH TIME ZONE,
    version INTEGER,
    archived BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_template PRIMARY KEY (tenant, slug)
);

CREATE TABLE template_version (
    tenant TEXT NOT NULL,
    template TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_template_version PRIMARY KEY (tenant, template, version)
);
"""
_WALLED = (
    "assignment", "attempt", "band_stay", "content", "rule", "skipped", "template", "template_version",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
