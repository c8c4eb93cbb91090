"""Verifies access tokens: JWTs of one issuer. Every service verifies them itself."""

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from storage import is_valid_tenant_name

from servicekit.errors import Unauthenticated, Unavailable

ALGORITHMS = ["RS256", "ES256", "PS256"]
MAX_LIFETIME_SECONDS = 24 * 3600
"""Tokens with a longer lifetime are refused, so that an ended session need not be remembered for longer."""
_LEEWAY_SECONDS = 30
_REFETCH_SECONDS = 10
_MAX_CACHED_TOKENS = 1000
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token. `iss` is the issuer's name in the directory. `sid` is the login session; None
    for a machine client. Times are seconds since 1970. Roles come from the directory, not from the token."""

    iss: str
    sub: str
    tenant: str
    client_id: str
    sid: str | None
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class LogoutClaims:
    """The claims of a verified logout token. It ends the session `sid`, or all sessions of `sub`. `jti` is the token's id;
    a token may be used once."""

    iss: str
    sid: str | None
    sub: str | None
    jti: str
    issued_at: int


def _refuse(why: str) -> Unauthenticated:
    return Unauthenticated("invalid-token", f"The access token was refused: {why}.")


class TokenVerifier:
    """Checks iss, aud, azp, typ, alg, kid, iat, exp, nbf and the signature with the issuer's published keys. Keys that a
    token contains or points to are ignored.

    Keys are cached for five minutes. An unknown key id causes a new fetch, but at most one in ten seconds, so that a flood
    of invented ids costs nothing. While the issuer is unavailable, the cached keys are used. A verified signature is cached
    as long as the keys; the claims are checked each time.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        issuer: str,
        audience: str,
        jwks_url: str | None = None,
        issuer_name: str | None = None,
    ) -> None:
        self._http = http
        self._name = issuer_name or issuer
        self._issuer = issuer.rstrip("/")
        self._audience = audience
        self._jwks_url = jwks_url
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._fetch_lock = asyncio.Lock()
        self._decoded: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    async def verify(self, token: str) -> Claims:
        """An access token's claims. Raises Unauthenticated with the reason; Unavailable when the issuer's keys could never
        be fetched."""
        return self._to_claims(*await self._decode(token))

    async def verify_logout(self, token: str, client_id: str) -> LogoutClaims:
        """The claims of a logout token for this client (OpenID Connect Back-Channel Logout 1.0). Raises like `verify`."""
        header, claims = await self._decode(token)
        self._require(claims, audience=client_id)
        if _typ(header) != "logout+jwt" and claims.get("typ") != "Logout":
            raise _refuse("it is not a logout token (typ)")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):  # pyright: ignore[reportUnknownMemberType]
            raise _refuse("it tells of no logout (events)")
        if "nonce" in claims:
            raise _refuse("it has a nonce, and so may be an ID token")
        sid, sub, jti = (_text(claims.get(name)) for name in ("sid", "sub", "jti"))
        if sid is None and sub is None:
            raise _refuse("it names no session and nobody (sid, sub)")
        if jti is None:
            raise _refuse("it has no name (jti)")
        return LogoutClaims(self._name, sid, sub, jti, int(claims["iat"]))

    async def _decode(self, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The header and claims of a token, after its signature was verified."""
        header = _header(token)
        if "crit" in header:
            raise _refuse("it has critical headers, and none is known here (crit)")
        if header.get("alg") not in ALGORITHMS:
            raise _refuse(f"alg {header.get('alg')!r} is not one of {', '.join(ALGORITHMS)}")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise _refuse("it names no key (kid)")
        keys = await self._keys_with(key_id)
        if token not in self._decoded:
            try:
                decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError) as error:
                raise _refuse(str(error) or type(error).__name__) from error
            if len(self._decoded) >= _MAX_CACHED_TOKENS:
                self._decoded.clear()
            self._decoded[token] = decoded.header, decoded.claims
        return self._decoded[token]

    def _to_claims(self, header: dict[str, Any], claims: dict[str, Any]) -> Claims:
        # All of Keycloak's tokens have the header typ JWT; their payload says which kind they are.
        kind = claims.get("typ")
        if not (kind == "Bearer" or (kind is None and _typ(header) == "at+jwt")):
            raise _refuse("it is not an access token (typ)")
        self._require(claims, audience=self._audience)
        subject = _text(claims.get("sub"))
        if subject is None:
            raise _refuse("it names nobody (sub)")
        client = _text(claims.get("azp")) or _text(claims.get("client_id"))
        if client is None:
            raise _refuse("it does not say to whom it was given (azp)")
        issued, expires = int(claims["iat"]), int(claims["exp"])
        return Claims(self._name, subject, _tenant(claims), client, _text(claims.get("sid")), issued, expires)

    def _require(self, claims: dict[str, Any], *, audience: str) -> None:
        """Checks the claims that every token of the issuer must have."""
        if str(claims.get("iss", "")).rstrip("/") != self._issuer:
            raise _refuse("it comes from another issuer (iss)")
        audiences = claims.get("aud")
        if audience not in (audiences if isinstance(audiences, list) else [audiences]):
            raise _refuse("it is meant for another audience (aud)")
        now = time.time()
        expires, issued, begins = (_parse_timestamp(claims.get(name)) for name in ("exp", "iat", "nbf"))
        if expires is None or expires < now - _LEEWAY_SECONDS:
            raise _refuse("it has expired (exp)")
        if issued is None or issued > now + _LEEWAY_SECONDS:
            raise _refuse("it was not issued yet (iat)")
        if expires - issued > MAX_LIFETIME_SECONDS:
            raise _refuse("it lives too long (iat, exp)")
        if "nbf" in claims and (begins is None or begins > now + _LEEWAY_SECONDS):
            raise _refuse("it is not valid yet (nbf)")

    async def _keys_with(self, key_id: str) -> KeySet:
        age = time.monotonic() - self._fetched
        if self._keys is not None and age < 300 and _has(self._keys, key_id):
            return self._keys
        async with self._fetch_lock:
            if time.monotonic() - self._fetched >= _REFETCH_SECONDS:
                await self._fetch()
        if self._keys is None:
            raise Unavailable("issuer-away", "The issuer's keys cannot be reached.", retry_after=5)
        if not _has(self._keys, key_id):
            raise _refuse("it is signed with an unknown key (kid)")
        return self._keys

    async def _fetch(self) -> None:
        try:
            if self._jwks_url is None:
                discovery = await self._http.get(f"{self._issuer}/.well-known/openid-configuration")
                self._jwks_url = str(discovery.raise_for_status().json()["jwks_uri"])
            response = await self._http.get(self._jwks_url)
            self._keys = KeySet.import_key_set(response.raise_for_status().json())
            self._fetched = time.monotonic()
            self._decoded.clear()
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError):
            # Without any key, the next fetch is after a second: requests must not queue for an issuer that hangs.
            self._fetched = time.monotonic() - (0 if self._keys else _REFETCH_SECONDS - 1)


def _tenant(claims: dict[str, Any]) -> str:
    """The token's one tenant. A machine client's is in the claim `tenant`; a person's in Keycloak's claim `organization`,
    which has the organizations that the person chose at sign-in."""
    chosen = claims.get("organization")
    named: list[Any] = [*chosen] if isinstance(chosen, dict | list) else []  # pyright: ignore[reportUnknownVariableType]
    if "tenant" in claims:
        named = [claims["tenant"]] if named in ([], [claims["tenant"]]) else [claims["tenant"], *named]
    if not named:
        raise _refuse("it names no tenant; ask for one with the scope `organization` or `organization:<tenant>`")
    if len(named) > 1:
        raise _refuse("it names several tenants; choose one with the scope `organization:<tenant>`")
    if not isinstance(named[0], str) or not is_valid_tenant_name(named[0]):
        raise _refuse("it does not name exactly one tenant (tenant)")
    return named[0]


def _typ(header: dict[str, Any]) -> str:
    return str(header.get("typ", "")).lower().removeprefix("application/")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value and "\x00" not in value else None


def _parse_timestamp(value: Any) -> float | None:
    """Seconds since 1970; None for a value that is too large or not a number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return float(value)
    return None


def _has(keys: KeySet, key_id: str) -> bool:
    return any(key.kid == key_id for key in keys.keys)


def _header(token: str) -> dict[str, Any]:
    try:
        first = token.split(".", 1)[0]
        header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError) as error:
        raise _refuse("it is not a JWT") from error
    if not isinstance(header, dict) or token.count(".") != 2:
        raise _refuse("it is not a JWT")
    return header  # pyright: ignore[reportUnknownVariableType]
