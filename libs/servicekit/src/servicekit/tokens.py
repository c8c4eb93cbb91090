"""Access tokens: JWTs of one issuer, verified by each service itself."""

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
"""Tokens that live longer are refused: so long, and no longer, an ended session must be remembered."""
_LEEWAY_SECONDS = 30
_REFETCH_SECONDS = 10
_MOST_TOKENS = 1000
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says; `iss` by the name the directory knows the issuer by. Roles are not among it: they come
    from the directory. `sid` is the login session, None for a machine; times are seconds since 1970."""

    iss: str
    sub: str
    tenant: str
    client_id: str
    sid: str | None
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class LogoutClaims:
    """What a verified logout token says: the session `sid`, or all of `sub`. `jti` names it; it is good once."""

    iss: str
    sid: str | None
    sub: str | None
    jti: str
    issued_at: int


def _refuse(why: str) -> Unauthenticated:
    return Unauthenticated("invalid-token", f"The access token was refused: {why}.")


class TokenVerifier:
    """Checks iss, aud, azp, typ, alg, kid, iat, exp, nbf and the signature, with the issuer's published keys; keys that a
    token brings along or points to are not looked at.

    Keys are kept for five minutes; an unknown key id makes it look again, but not more than once in ten seconds, so
    that a flood of made-up ids costs nothing. When the issuer is away, the keys at hand go on serving. That a token is
    signed is remembered as long as the keys are; everything else is asked each time.
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
        self._looking = asyncio.Lock()
        self._signed: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    async def verify(self, token: str) -> Claims:
        """An access token's claims. Raises Unauthenticated with the reason, Unavailable when the issuer's keys were never
        reachable."""
        return self._to_claims(*await self._decode(token))

    async def verify_logout(self, token: str, client_id: str) -> LogoutClaims:
        """A logout token's claims (OpenID Connect Back-Channel Logout 1.0), sent to this client. Raises as `verify`."""
        header, claims = await self._decode(token)
        self._require(claims, audience=client_id)
        if _typ(header) != "logout+jwt" and claims.get("typ") != "Logout":
            raise _refuse("it is not a logout token (typ)")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT), dict):  # pyright: ignore[reportUnknownMemberType]
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
        """Header and claims of a token that the issuer signed."""
        header = _header(token)
        if "crit" in header:
            raise _refuse("it has critical headers, and none is known here (crit)")
        if header.get("alg") not in ALGORITHMS:
            raise _refuse(f"alg {header.get('alg')!r} is not one of {', '.join(ALGORITHMS)}")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise _refuse("it names no key (kid)")
        keys = await self._keys_with(key_id)
        if token not in self._signed:
            try:
                decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError) as error:
                raise _refuse(str(error) or type(error).__name__) from error
            if len(self._signed) >= _MOST_TOKENS:
                self._signed.clear()
            self._signed[token] = decoded.header, decoded.claims
        return self._signed[token]

    def _to_claims(self, header: dict[str, Any], claims: dict[str, Any]) -> Claims:
        # Keycloak's tokens are all of header typ JWT, and say in the payload what they are.
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
        """What every token of the issuer must hold."""
        if str(claims.get("iss", "")).rstrip("/") != self._issuer:
            raise _refuse("it comes from another issuer (iss)")
        meant_for = claims.get("aud")
        if audience not in (meant_for if isinstance(meant_for, list) else [meant_for]):
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
        async with self._looking:
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
            self._signed.clear()
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError):
            # Without any key it looks again after a second: requests must not queue up for an issuer that hangs.
            self._fetched = time.monotonic() - (0 if self._keys else _REFETCH_SECONDS - 1)


def _tenant(claims: dict[str, Any]) -> str:
    """The one tenant of the token: a machine's by its claim `tenant`, a person's by Keycloak's claim `organization`,
    which holds those that the person chose when they signed in."""
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
    """Seconds since 1970. Whatever is too large or no number is none."""
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
