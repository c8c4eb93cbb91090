"""The first tables. The ledger refuses to be changed, whoever asks."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE heard_correction (
    tenant TEXT NOT NULL,
    event_id UUID NOT NULL,
    CONSTRAINT pk_heard_correction PRIMARY KEY (tenant, event_id)
);

CREATE TABLE leaderboard (
    tenant TEXT NOT NULL,
    slug TEXT NOT NULL,
    body JSONB NOT NULL,
    CONSTRAINT pk_leaderboard PRIMARY KEY (tenant, slug)
);

CREATE TABLE ledger (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    agent_id UUID NOT NULL,
    rule TEXT NOT NULL,
    cause TEXT NOT NULL,
    occasion TEXT NOT NULL,
    points INTEGER NOT NULL,
    title JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    earned_on DATE NOT NULL,
    reverses UUID,
    reason TEXT,
    detail JSONB,
    CONSTRAINT pk_ledger PRIMARY KEY (tenant, id),
    CONSTRAINT uq_ledger_tenant UNIQUE (tenant, reverses)
);
CREATE INDEX ix_ledger_agent ON ledger (tenant, agent_id, at, id);
CREATE INDEX ix_ledger_cause ON ledger (tenant, cause);
CREATE INDEX ix_ledger_earned_on ON ledger (tenant, earned_on);
CREATE INDEX ix_ledger_newest ON ledger (tenant, at, id);
CREATE UNIQUE INDEX uq_ledger_cause ON ledger (tenant, agent_id, rule, cause, occasion) WHERE reverses IS NULL;

CREATE TABLE rule_edition (
    tenant TEXT NOT NULL,
    edition INTEGER NOT NULL,
    rule TEXT NOT NULL,
    body JSONB,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rule_edition PRIMARY KEY (tenant, edition)
);

CREATE TABLE score_day (
    tenant TEXT NOT NULL,
    agent_id UUID NOT NULL,
    kpi TEXT NOT NULL,
    workday DATE NOT NULL,
    value NUMERIC,
    numerator NUMERIC,
    denominator NUMERIC,
    sample INTEGER NOT NULL,
    direction TEXT NOT NULL,
    model_version INTEGER NOT NULL,
    live BOOLEAN NOT NULL,
    edition INTEGER,
    CONSTRAINT pk_score_day PRIMARY KEY (tenant, agent_id, kpi, workday)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the ledger is append-only: book a reversal instead'
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
_WALLED = (
    "heard_correction", "leaderboard", "ledger", "rule_edition", "score_day",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
