"""Rules of the provider: secrets, PKCE, scopes, which client may use which grant. No I/O."""

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
"""By which identity keeps accounts and clients here, as an admin does."""
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
"""Room for a tenant, a dot, and an application of it."""
TENANT = r"^[a-z0-9][a-z0-9-]{0,62}$"

_CHOICE = re.compile(r"organization:(\*|[a-z0-9][a-z0-9-]{0,62})")
_VERIFIER = re.compile(r"^[A-Za-z0-9\-._~]{43,128}$")
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


@dataclass(frozen=True)
class TokenSession:
    """What a code and the refresh tokens grown from it have in common; `sid` is the login session, without a
    browser the family itself."""

    client_id: str
    family: str
    sid: str | None
    sub: str
    scope: str
    auth_time: datetime


@dataclass(frozen=True)
class ThrottlePolicy:
    """The first `free` failures cost nothing but the last of them a second, each further one twice as long, up to
    `longest`. `forgiven`: a right password makes them forgotten."""

    free_failures: int
    max_wait: timedelta
    reset_on_success: bool = True


ACCOUNT_THROTTLE = ThrottlePolicy(free_failures=5, max_wait=timedelta(minutes=5))
ACCOUNT_GLOBAL_THROTTLE = ThrottlePolicy(free_failures=50, max_wait=timedelta(seconds=30))
ADDRESS_THROTTLE = ThrottlePolicy(free_failures=30, max_wait=timedelta(minutes=1), reset_on_success=False)


def new_secret() -> str:
    """A random value of 256 bits, safe in URLs: codes, refresh tokens, cookies, client secrets."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the database keeps of a random secret: hex SHA-256. Not for passwords."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hash_password(password: str) -> str:
    """`scrypt$salt$key` in hex. Takes some 50 ms on purpose: call it in a thread."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()}"


# Compared with when there is no such account, so that the answer takes as long as for one that exists.
_DUMMY_PASSWORD_HASH = "scrypt$" + "00" * 16 + "$" + "00" * 64


def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password is the stored one; equally slow when nothing is stored."""
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
    """The part of a requested scope that this provider knows, in its own order; at the end the tenants it chooses."""
    asked = requested.split()
    choices = sorted({scope for scope in asked if _CHOICE.fullmatch(scope)})
    return " ".join([*(scope for scope in SCOPES if scope in asked), *choices])


def select_tenants(tenants: Collection[str], scope: str) -> list[str]:
    """Those of the account's tenants that the scope chooses; all of them where it leaves the choice open."""
    choices = {match[1] for each in scope.split() if (match := _CHOICE.fullmatch(each))}
    return [tenant for tenant in tenants if not choices or choices & {"*", tenant}]


def tenant_claims(tenants: Sequence[str]) -> dict[str, object]:
    """As Keycloak tells them: the services take a token of exactly one."""
    return {"tenant": tenants[0]} if len(tenants) == 1 else {"organization": list(tenants)}


def parse_origin(uri: str) -> str:
    """Where a page at this address is at home, as browsers say it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def machine_sub(client_id: str) -> str:
    return f"client:{client_id}"


def find_client_problems(
    client_id: str, *, confidential: bool, tenant: str | None, grants: Collection[str]
) -> list[str]:
    """Why a client may not be registered like this, one sentence each; empty when it may."""
    faults = [f"{grant} is not a grant of this provider" for grant in grants if grant not in GRANTS]
    if "password" in grants and client_id != CLI_CLIENT:
        faults.append(f"the password grant belongs to {CLI_CLIENT} alone; use authorization_code with PKCE")
    if "client_credentials" in grants and not (confidential and tenant):
        faults.append("client_credentials needs a secret and a tenant")
    return faults
