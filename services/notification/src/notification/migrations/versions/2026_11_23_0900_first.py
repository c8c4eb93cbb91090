"""Rules, texts, webhooks, notices, deliveries."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE attempt (
    tenant TEXT NOT NULL,
    delivery_id UUID NOT NULL,
    number INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT NOT NULL,
    status INTEGER,
    detail TEXT NOT NULL,
    CONSTRAINT pk_attempt PRIMARY KEY (tenant, delivery_id, number)
);

CREATE TABLE delivery (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    channel TEXT NOT NULL,
    notice_id UUID,
    webhook TEXT,
    event_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE,
    leased_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_delivery PRIMARY KEY (tenant, id),
    CONSTRAINT uq_delivery_tenant UNIQUE (tenant, notice_id, channel)
);
CREATE INDEX ix_delivery_webhook ON delivery (tenant, webhook, id);
CREATE UNIQUE INDEX uq_delivery_webhook_event ON delivery (tenant, webhook, event_id);

CREATE TABLE notice (
    tenant TEXT NOT NULL,
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    person_id UUID NOT NULL,
    rule TEXT NOT NULL,
    event_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    in_app BOOLEAN NOT NULL,
    language TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    refs JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_notice PRIMARY KEY (tenant, id),
    CONSTRAINT uq_notice_tenant UNIQUE (tenant, rule, event_id, person_id)
);
CREATE UNIQUE INDEX ix_notice_inbox ON notice (tenant, person_id, seq);

CREATE TABLE rule (
    tenant TEXT NOT NULL,
    rule TEXT NOT NULL,
    on_event TEXT NOT NULL,
    position INTEGER NOT NULL,
    body JSONB NOT NULL,
    CONSTRAINT pk_rule PRIMARY KEY (tenant, rule)
);
CREATE INDEX ix_rule_on_event ON rule (tenant, on_event);

CREATE TABLE text (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    language TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT pk_text PRIMARY KEY (tenant, key, language)
);

CREATE TABLE webhook (
    tenant TEXT NOT NULL,
    webhook TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT[] NOT NULL,
    enabled BOOLEAN NOT NULL,
    disabled_reason TEXT,
    salt TEXT NOT NULL,
    previous_salt TEXT,
    previous_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_webhook PRIMARY KEY (tenant, webhook)
);
"""
_WALLED = (
    "attempt", "delivery", "notice", "rule", "text", "webhook",
)  # fmt: skip
_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _WALLED:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY tenant_wall ON "{table}" USING ({_WALL}) WITH CHECK ({_WALL})')
