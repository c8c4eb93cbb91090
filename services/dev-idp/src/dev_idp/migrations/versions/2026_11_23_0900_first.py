"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE signing_key (
    kid TEXT NOT NULL,
    jwk JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (kid)
);

CREATE TABLE account (
    sub TEXT NOT NULL,
    username TEXT NOT NULL,
    password TEXT,
    one_time TEXT,
    tenant TEXT NOT NULL,
    display_name TEXT NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    admin BOOLEAN NOT NULL,
    listed BOOLEAN NOT NULL,
    PRIMARY KEY (sub),
    UNIQUE (username),
    UNIQUE (one_time)
);

CREATE TABLE client (
    client_id TEXT NOT NULL,
    secret TEXT,
    redirect_uris TEXT[] NOT NULL,
    post_logout_redirect_uris TEXT[] NOT NULL,
    tenant TEXT,
    grants TEXT[] NOT NULL,
    PRIMARY KEY (client_id)
);

CREATE TABLE login_session (
    cookie TEXT NOT NULL,
    sid TEXT NOT NULL,
    sub TEXT NOT NULL,
    auth_time TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (cookie),
    UNIQUE (sid)
);
CREATE INDEX login_session_expires_at ON login_session (expires_at);
CREATE INDEX login_session_sub ON login_session (sub);

CREATE TABLE authorization_code (
    code TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    nonce TEXT,
    family TEXT NOT NULL,
    sid TEXT,
    sub TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth_time TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (code)
);
CREATE INDEX authorization_code_expires_at ON authorization_code (expires_at);
CREATE INDEX authorization_code_sub ON authorization_code (sub);

CREATE TABLE refresh_token (
    token TEXT NOT NULL,
    client_id TEXT NOT NULL,
    family TEXT NOT NULL,
    sid TEXT,
    sub TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth_time TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (token)
);
CREATE INDEX ix_oidc_refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_expires_at ON refresh_token (expires_at);
CREATE INDEX refresh_token_sub ON refresh_token (sub);
"""


def upgrade() -> None:
    op.execute(_TABLES)
