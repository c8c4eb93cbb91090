"""Access tokens of a test issuer, valid ones and invalid ones of every kind."""

import time
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from servicekit.tokens import TokenVerifier

ISSUER = "https://issuer.test"
AUDIENCE = "uplift"


class TestIssuer:
    """Signs tokens with a key of its own. `verifier` and `transport` publish that key."""

    __test__ = False

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "test-key", "use": "sig", "alg": "RS256"}, auto_kid=False)

    def claims(self, sub: str, tenant: str, **overrides: Any) -> dict[str, Any]:
        """The claims of a valid token of ten minutes, with `overrides`."""
        now = int(time.time())
        return {
            "iss": ISSUER, "sub": sub, "aud": AUDIENCE, "tenant": tenant, "client_id": "test", "azp": "test",
            "iat": now, "nbf": now, "exp": now + 600, **overrides,
        }  # fmt: skip

    def token(self, sub: str, tenant: str, *, header: dict[str, Any] | None = None, **overrides: Any) -> str:
        """A signed token of the person whose login has this `sub`. `header` and `overrides` replace parts of its header and
        claims; a claim that is None is left out."""
        claims = {name: value for name, value in self.claims(sub, tenant, **overrides).items() if value is not None}
        whole = {"alg": "RS256", "typ": "at+jwt", "kid": "test-key", **(header or {})}
        return jwt.encode(whole, claims, self.key)

    def transport(self) -> httpx.MockTransport:
        """An HTTP transport that answers the issuer's discovery document and its JWKS."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/openid-configuration"):
                return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})

        return httpx.MockTransport(answer)

    def verifier(self) -> TokenVerifier:
        """A verifier that accepts this issuer's tokens."""
        return TokenVerifier(httpx.AsyncClient(transport=self.transport()), issuer=ISSUER, audience=AUDIENCE)
