"""Forms, their versions, submissions."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE form (
    tenant TEXT NOT NULL,
    form TEXT NOT NULL,
    title JSONB NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    draft_document UUID NOT NULL,
    draft_hash TEXT NOT NULL,
    version INTEGER,
    published_hash TEXT,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_by UUID,
    CONSTRAINT pk_form PRIMARY KEY (tenant, form)
);

CREATE TABLE form_version (
    tenant TEXT NOT NULL,
    form TEXT NOT NULL,
    version INTEGER NOT NULL,
    document UUID NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    published_by UUID,
    CONSTRAINT pk_form_version PRIMARY KEY (tenant, form, version)
);

CREATE TABLE submission (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    form TEXT NOT NULL,
    form_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    document UUID NOT NULL,
    agent_id UUID,
    interaction_id UUID,
    submitted_by UUID NOT NULL,
    submitted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    workday DATE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    score INTEGER,
    automatic_fail BOOLEAN NOT NULL,
    void BOOLEAN NOT NULL,
    CONSTRAINT pk_submission PRIMARY KEY (tenant, id)
);
CREATE INDEX ix_submission_agent ON submission (tenant, agent_id, id);
CREATE INDEX ix_submission_form ON submission (tenant, form, id);

CREATE TABLE submission_version (
    tenant TEXT NOT NULL,
    submission_id UUID NOT NULL,
    version INTEGER NOT NULL,
    document UUID NOT NULL,
    void BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by UUID NOT NULL,
    CONSTRAINT pk_submission_version PRIMARY KEY (tenant, submission_id, version)
);
CREATE INDEX ix_submission_version_document ON submission_version (tenant, document);
"""
_WALLED = (
    "form", "form_version", "submission", "submission_version",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
