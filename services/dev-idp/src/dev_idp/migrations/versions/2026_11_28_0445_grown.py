"""What was added before the schema had revisions, where it is missing."""

from alembic import op

revision = "2026_11_28_0445_grown"
down_revision = "2026_11_23_0900_first"

_ADDED = """
ALTER TABLE client ADD COLUMN IF NOT EXISTS backchannel_logout_uri text;
ALTER TABLE account ADD COLUMN IF NOT EXISTS email text;
ALTER TABLE account ADD COLUMN IF NOT EXISTS temporary boolean NOT NULL DEFAULT false;

CREATE TABLE IF NOT EXISTS membership (
    sub TEXT NOT NULL,
    tenant TEXT NOT NULL,
    PRIMARY KEY (sub, tenant)
);

CREATE TABLE IF NOT EXISTS session_client (
    sid TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (sid, client_id)
);

CREATE TABLE IF NOT EXISTS attempt (
    key TEXT NOT NULL,
    failures INTEGER NOT NULL,
    blocked_until TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (key)
);
CREATE INDEX IF NOT EXISTS ix_oidc_attempt_last_at ON attempt (last_at);
"""


def upgrade() -> None:
    op.execute(_ADDED)
