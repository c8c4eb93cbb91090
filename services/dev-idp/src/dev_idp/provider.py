"""What the endpoints share: engine, clock, signing keys; issuing and verifying JWTs; reading parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oidc.core.util import create_half_hash
from contracts.ids import new_id
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from dev_idp import model, store

ALGORITHM = "RS256"


class SendLogoutToken(Protocol):
    """Posts a logout token to a client; replaced in tests."""

    async def __call__(self, url: str, logout_token: str, *, tenant: str | None) -> None:
        """Posts `logout_token` to `url`. `tenant` None: a client of this installation."""


@dataclass
class Provider:
    """What all endpoints share. `issuer` has no closing slash; `demo` lists demo accounts on the login page."""

    engine: AsyncEngine
    issuer: str
    clock: Callable[[], datetime]
    access_ttl: timedelta
    demo: bool
    send_logout_token: SendLogoutToken
    proven_secrets: set[str] = field(default_factory=set[str], repr=False)
    """Digests of client secrets that were verified, together with the hashes they match."""
    _keys: KeySet | None = field(default=None, repr=False)

    async def keys(self) -> KeySet:
        """All signing keys, the newest first. The database is read once."""
        if self._keys is None:
            async with self.engine.connect() as connection:
                self._keys = KeySet([RSAKey.import_key(jwk) for jwk in await store.load_signing_keys(connection)])
        return self._keys

    async def issue_jwt(self, typ: str, claims: Mapping[str, object], ttl: timedelta) -> str:
        """A JWT of this issuer, valid from now for `ttl`."""
        key = (await self.keys()).keys[0]
        now = int(self.clock().timestamp())
        times = {"iat": now, "exp": now + int(ttl.total_seconds())}
        header = {"alg": ALGORITHM, "typ": typ, "kid": key.kid}
        return jwt.encode(header, {"iss": self.issuer, **times, **claims}, key, [ALGORITHM])

    async def verify_jwt(self, token: str, typ: str, *, expired: bool = False) -> dict | None:
        """The claims of a valid JWT that this issuer signed with the header `typ`, else None. With `expired` an expired one is
        valid too."""
        try:
            decoded = jwt.decode(token, await self.keys(), [ALGORITHM])
            if decoded.header.get("typ") != typ:
                return None
            now = 0 if expired else int(self.clock().timestamp())
            rules = {"iss": {"essential": True, "value": self.issuer}, "exp": {"essential": True}}
            if expired:  # at time 0 every `iat` lies in the future
                decoded.claims.pop("iat", None)
            jwt.JWTClaimsRegistry(now=now, **rules).validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        return decoded.claims

    async def issue_access_token(
        self, client_id: str, sub: str, tenants: Sequence[str], scope: str, *, audience: str, sid: str | None = None
    ) -> str:
        """An access token after RFC 9068."""
        claims = {
            "sub": sub,
            "aud": audience,
            "azp": client_id,
            "client_id": client_id,
            "nbf": int(self.clock().timestamp()),
            "jti": str(new_id()),
            "scope": scope,
            **model.tenant_claims(tenants),
        }
        return await self.issue_jwt("at+jwt", claims if sid is None else {**claims, "sid": sid}, self.access_ttl)

    async def issue_id_token(
        self, session: model.TokenSession, account: Row, tenants: Sequence[str], access_token: str, nonce: str | None
    ) -> str:
        """An ID token for the client of the session."""
        claims: dict[str, object] = {
            "sub": account.sub,
            "aud": session.client_id,
            "azp": session.client_id,
            "auth_time": int(session.auth_time.timestamp()),
            "at_hash": str(create_half_hash(access_token, ALGORITHM) or b"", "ascii"),
            **model.tenant_claims(tenants),
            **profile_claims(account, session.scope),
        }
        if session.sid is not None:
            claims["sid"] = session.sid
        if nonce is not None:
            claims["nonce"] = nonce
        return await self.issue_jwt("JWT", claims, self.access_ttl)


def profile_claims(account: Row, scope: str) -> dict[str, str]:
    """The claims about a person that a scope allows."""
    claims, scopes = {}, scope.split()
    if "profile" in scopes:
        claims |= {"preferred_username": account.username, "name": account.display_name}
    if "email" in scopes and account.email:
        claims["email"] = account.email
    return claims


async def read_parameters(request: Request) -> dict[str, str]:
    """The query of a GET or the form of a POST; empty parameters are left out. Raises InvalidRequestError for a parameter that
    occurs twice (RFC 6749 §3.1) or is not text."""
    pairs = (request.query_params if request.method == "GET" else await request.form()).multi_items()
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if not isinstance(value, str) or "\0" in value:
            raise InvalidRequestError("A parameter is not plain text.")
        if name in parameters:
            raise InvalidRequestError("A parameter is included more than once.")
        if value:
            parameters[name] = value
    return parameters
