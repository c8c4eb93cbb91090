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
from storage import is_tenant

from servicekit.errors import Unauthenticated, Unavailable

ALGORITHMS = ["RS256", "ES256", "PS256"]
_LEEWAY_SECONDS = 30
_REFETCH_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says; `iss` by the name the directory knows the issuer by. Roles are not among it: they come
    from the directory."""

    iss: str
    sub: str
    tenant: str
    client_id: str
    expires_at: int


def _refuse(why: str) -> Unauthenticated:
    return Unauthenticated("invalid-token", f"The access token was refused: {why}.")


class TokenVerifier:
    """Checks iss, aud, typ, alg, exp, nbf and the signature, with the issuer's published keys.

    Keys are kept for five minutes; an unknown key id makes it look again, but not more than once in ten seconds, so
    that a flood of made-up ids costs nothing. When the issuer is away, the keys at hand go on serving.
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

    async def verify(self, token: str) -> Claims:
        """Raises Unauthenticated with the reason, Unavailable when the issuer's keys were never reachable."""
        header = _header(token)
        if header.get("alg") not in ALGORITHMS:
            raise _refuse(f"alg {header.get('alg')!r} is not one of {', '.join(ALGORITHMS)}")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise _refuse("it names no key (kid)")
        keys = await self._keys_with(key_id)
        try:
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise _refuse(str(error) or type(error).__name__) from error
        return self._check(decoded.header, decoded.claims)

    def _check(self, header: dict[str, Any], claims: dict[str, Any]) -> Claims:
        typ = str(header.get("typ", "")).lower().removeprefix("application/")
        if typ != "at+jwt" and claims.get("typ") != "Bearer":
            raise _refuse("it is not an access token (typ)")
        if str(claims.get("iss", "")).rstrip("/") != self._issuer:
            raise _refuse("it comes from another issuer (iss)")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refuse("it is meant for another audience (aud)")
        now = time.time()
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires < now - _LEEWAY_SECONDS:
            raise _refuse("it has expired (exp)")
        if float(claims.get("nbf") or 0) > now + _LEEWAY_SECONDS:
            raise _refuse("it is not valid yet (nbf)")
        subject, tenant = claims.get("sub"), claims.get("tenant")
        if not isinstance(subject, str) or not subject:
            raise _refuse("it names nobody (sub)")
        if not isinstance(tenant, str) or not is_tenant(tenant):
            raise _refuse("it does not name exactly one tenant (tenant)")
        client = str(claims.get("azp") or claims.get("client_id") or "")
        return Claims(self._name, subject, tenant, client, int(expires))

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
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError):
            # Without any key it looks again after a second: requests must not queue up for an issuer that hangs.
            self._fetched = time.monotonic() - (0 if self._keys else _REFETCH_SECONDS - 1)


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
