"""The loopback OpenID Connect provider of the embedded shape. Development only; Keycloak takes its place later.

It speaks discovery, JWKS, authorization code with PKCE, rotating refresh tokens, client credentials, RFC 9068 access
tokens, userinfo, revocation, RP-initiated and back-channel logout; and it keeps what identity wants kept of a tenant's
accounts and clients, of whom only the tenant's people get into them. Authlib's server core is synchronous and reads the wall clock, so
the endpoints are written here; Authlib gives the protocol's errors and hashes, joserfc the signatures.

Two grants exist for development alone: `password`, for the client `uplift-cli` only, so that a command without a
browser can sign a demo user in, and the one-time token that lets the first platform admin in.
"""

from dev_idp.accounts import ensure_account, ensure_client, has_password, issue_one_time
from dev_idp.app import create_provider, refuse_beyond_loopback
from dev_idp.model import CLI_CLIENT, ONE_TIME, SERVICE_CLIENT
from dev_idp.store import ensure_schema

__all__ = [
    "CLI_CLIENT",
    "ONE_TIME",
    "SERVICE_CLIENT",
    "create_provider",
    "ensure_account",
    "ensure_client",
    "ensure_schema",
    "has_password",
    "issue_one_time",
    "refuse_beyond_loopback",
]
