"""Rules of the provider, without I/O: secrets, PKCE, scopes, and which client may use which grant."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge

ONE_TIME = "urn:uplift:grant:one-time"
GRANTS = ("authorization_code", "refresh_token", "client_credentials", "password", ONE_TIME)
CLI_CLIENT = "uplift-cli"
PORTAL_CLIENT = "portal"
DOCS_CLIENT = "swagger"
SERVICE_CLIENT = "uplift-identity"
"""Identity's client. It administers accounts and clients, as an account with the admin flag does."""
AUDIENCE = "uplift"
SCOPES = ("openid", "profile", "email")

ACCESS_TTL = timedelta(minutes=5)
REFRESH_TTL = timedelta(hours=8)
LOGIN_TTL = timedelta(hours=8)
CODE_TTL = timedelta(minutes=1)
FORM_TTL = timedelta(minutes=30)

DEVICE_TTL = timedelta(days=90)
FAILURE_RETENTION = timedelta(minutes=15)

MIN_PASSWORD, MAX_PASSWORD = 8, 1000
USERNAME = r"^[a-z0-9][a-z0-9._@-]{0,99}$"
CLIENT_ID = r"^[a-z0-9][a-z0-9._-]{0,126}$"
"""Long enough for a tenant, a dot, and the name of its application."""
TENANT = r"^[a-z0-9][a-z0-9-]{0,62}$"

_CHOICE = re.compile(r"organization:(\*|[a-z0-9][a-z0-9-]{0,62})")
_VERIFIER = re.compile(r"^[A-Za-z0-9\-._~]{43,128}$")
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


@dataclass(frozen=True)
class TokenSession:
    """What a code and the refresh tokens that came from it have in common. `family` groups them for revocation. `sid` is the
    login session; for a grant without a browser it equals `family`."""

    client_id: str
    family: str
    sid: str | None
    sub: str
    scope: str
    auth_time: datetime


@dataclass(frozen=True)
class ThrottlePolicy:
    """Exponential back-off after failed attempts. Failure number `free_failures` blocks for a second, each further one twice
    as long, up to `max_wait`. `reset_on_success`: a correct password deletes the failures."""

    free_failures: int
    max_wait: timedelta
    reset_on_success: bool = True


ACCOUNT_THROTTLE = ThrottlePolicy(free_failures=5, max_wait=timedelta(minutes=5))
ACCOUNT_GLOBAL_THROTTLE = ThrottlePolicy(free_failures=50, max_wait=timedelta(seconds=30))
ADDRESS_THROTTLE = ThrottlePolicy(free_failures=30, max_wait=timedelta(minutes=1), reset_on_success=False)


def new_secret() -> str:
    """A random value of 256 bits in base64url: for codes, refresh tokens, cookies, client secrets."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Hex SHA-256 of a random secret, which is what the database stores. Not for passwords."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hash_password(password: str) -> str:
    """`scrypt$salt$key` in hex. Takes about 50 ms by design: call it in a thread."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()}"


# Verified when there is no such account, so that the response takes as long as for an existing one.
_DUMMY_PASSWORD_HASH = "scrypt$" + "00" * 16 + "$" + "00" * 64


def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password matches the stored hash. Takes as long when `stored` is None, and returns False."""
    _, salt, key = (stored or _DUMMY_PASSWORD_HASH).split("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return hmac.compare_digest(found, bytes.fromhex(key)) and stored is not None


def challenge_is_s256(challenge: str, method: str) -> bool:
    """Whether a PKCE challenge is well formed; `plain` is not accepted."""
    return method == "S256" and re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge) is not None


def verifier_matches(verifier: str, challenge: str) -> bool:
    """Whether a PKCE verifier is well formed and belongs to the S256 challenge."""
    return _VERIFIER.match(verifier) is not None and hmac.compare_digest(
        create_s256_code_challenge(verifier), challenge
    )


def grant_scope(requested: str) -> str:
    """The supported part of a requested scope, in canonical order, followed by its `organization:…` choices."""
    scopes = requested.split()
    choices = sorted({scope for scope in scopes if _CHOICE.fullmatch(scope)})
    return " ".join([*(scope for scope in SCOPES if scope in scopes), *choices])


def select_tenants(tenants: Collection[str], scope: str) -> list[str]:
    """The account's tenants that the scope chooses with `organization:…`; all of them when it chooses none."""
    choices = {match[1] for each in scope.split() if (match := _CHOICE.fullmatch(each))}
    return [tenant for tenant in tenants if not choices or choices & {"*", tenant}]


def tenant_claims(tenants: Sequence[str]) -> dict[str, object]:
    """The tenant claims, as in Keycloak's tokens: `tenant` for one, else `organization`. Services accept tokens of exactly one
    tenant."""
    return {"tenant": tenants[0]} if len(tenants) == 1 else {"organization": list(tenants)}


def parse_origin(uri: str) -> str:
    """The origin of an address, as browsers send it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def machine_sub(client_id: str) -> str:
    """The `sub` in tokens that a client gets for itself."""
    return f"client:{client_id}"


def find_client_problems(
    client_id: str, *, confidential: bool, tenant: str | None, grants: Collection[str]
) -> list[str]:
    """What is wrong with a client's registration, one sentence each; empty when nothing is."""
    problems = [f"{grant} is not a grant of this provider" for grant in grants if grant not in GRANTS]
    if "password" in grants and client_id != CLI_CLIENT:
        problems.append(f"the password grant belongs to {CLI_CLIENT} alone; use authorization_code with PKCE")
    if "client_credentials" in grants and not (confidential and tenant):
        problems.append("client_credentials needs a secret and a tenant")
    return problems
