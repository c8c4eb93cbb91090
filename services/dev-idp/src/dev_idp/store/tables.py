"""Tables of the schema `oidc`. Secrets are stored as hashes only."""

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()
_MOMENT = DateTime(timezone=True)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("jwk", JSONB, nullable=False),
    Column("created_at", _MOMENT, nullable=False, server_default=func.now()),
)
account = Table(
    "account",
    metadata,
    Column("sub", Text, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("password", Text),
    Column("one_time", Text, unique=True),
    Column("tenant", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("admin", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("email", Text),
    # Set by an administrator; usable only to choose another password.
    Column("temporary", Boolean, nullable=False, server_default=text("false")),
)
# Further tenants of an account.
membership = Table(
    "membership",
    metadata,
    Column("sub", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
)
client = Table(
    "client",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("secret", Text),
    Column("redirect_uris", ARRAY(Text), nullable=False),
    Column("post_logout_redirect_uris", ARRAY(Text), nullable=False),
    Column("tenant", Text),
    Column("grants", ARRAY(Text), nullable=False),
    Column("backchannel_logout_uri", Text),
)
# Failed attempts to sign in, by the digest of a throttle key.
attempt = Table(
    "attempt",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("blocked_until", _MOMENT, nullable=False),
    Column("last_at", _MOMENT, nullable=False),
    Index("ix_oidc_attempt_last_at", "last_at"),
)
login_session = Table(
    "login_session",
    metadata,
    Column("cookie", Text, primary_key=True),
    Column("sid", Text, nullable=False, unique=True),
    Column("sub", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
)
# Clients to notify when the session ends.
session_client = Table(
    "session_client",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
)
# A family is all tokens from one code or one direct grant; they are revoked together.
authorization_code = Table(
    "authorization_code",
    metadata,
    Column("code", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text),
    Column("nonce", Text),
    Column("family", Text, nullable=False),
    Column("sid", Text),
    Column("sub", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
    Column("used", Boolean, nullable=False, server_default=text("false")),
)
refresh_token = Table(
    "refresh_token",
    metadata,
    Column("token", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("sid", Text),
    Column("sub", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
    Column("used", Boolean, nullable=False, server_default=text("false")),
    Index("ix_oidc_refresh_token_family", "family"),
)
for _expiring in (login_session, authorization_code, refresh_token):
    Index(f"{_expiring.name}_expires_at", _expiring.c.expires_at)
    Index(f"{_expiring.name}_sub", _expiring.c.sub)
