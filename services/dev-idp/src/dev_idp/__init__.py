"""The loopback OpenID Connect provider of the embedded shape. Development only; the real stack uses Keycloak.

It implements discovery, JWKS, authorization code with PKCE, rotating refresh tokens, client credentials, RFC 9068 access
tokens, userinfo, revocation, RP-initiated and back-channel logout. Identity manages tenants' accounts and clients in it
over HTTP; only members of a tenant can sign in to that tenant's clients. Authlib's server core is synchronous and reads
the wall clock, so the endpoints are written here. Authlib provides the protocol's errors and hashes, joserfc the
signatures.

Two grants exist for development only: `password`, for the client `uplift-cli`, so that a command without a browser can
sign in as a demo user; and the one-time token with which the first platform admin signs in.
"""

from storage import Migrations

from dev_idp.accounts import ensure_account, ensure_client, has_password, issue_one_time
from dev_idp.app import create_provider, refuse_beyond_loopback
from dev_idp.model import CLI_CLIENT, ONE_TIME, SERVICE_CLIENT
from dev_idp.store import ensure_seed_rows

__all__ = [
    "CLI_CLIENT",
    "MIGRATIONS",
    "ONE_TIME",
    "SERVICE_CLIENT",
    "create_provider",
    "ensure_account",
    "ensure_client",
    "ensure_seed_rows",
    "has_password",
    "issue_one_time",
    "refuse_beyond_loopback",
]

MIGRATIONS = Migrations("oidc", "dev_idp.migrations", has_platform_tables=False, first_table="account")
"""The revisions of the schema `oidc`, in which the provider's engine has to look for its tables."""
