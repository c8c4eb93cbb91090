"""The table of bad tokens: name, how it is made of a good one, status, and a word of the reason."""

import base64
import hmac
import time
from collections.abc import Callable

from joserfc.jwk import ECKey, RSAKey

from tests.sso.issuers import Issuer, encode_part

OTHER_KEY = RSAKey.generate_key(2048, auto_kid=False)
EC_KEY = ECKey.generate_key("P-256", auto_kid=False)  # an RSA key makes a header that is refused for its size
Make = Callable[[Issuer], str | None]


def timestamp_in(seconds: float) -> int:
    return int(time.time() + seconds)


def unsigned(issuer: Issuer) -> str:
    return f"{encode_part({**issuer.header, 'alg': 'none'})}.{encode_part(issuer.claims)}."


def hmac_of_the_public_key(issuer: Issuer) -> str:
    signed = f"{encode_part({**issuer.header, 'alg': 'HS256'})}.{encode_part(issuer.claims)}"
    digest = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def id_token(issuer: Issuer) -> str:
    """The one it issued; of an issuer that gives none, one like it."""
    return issuer.tokens.get("id_token") or issuer.token(header={"typ": "JWT"}, typ=None, aud="portal")


def logout_token(issuer: Issuer) -> str:
    events = {"http://schemas.openid.net/event/backchannel-logout": {}}
    return issuer.token(header={"typ": "logout+jwt"}, typ="Logout", events=events)


BAD_TOKENS: dict[str, tuple[Make, int, str]] = {
    "no token": (lambda _: None, 401, "no-token"),
    "expired": (lambda i: i.token(iat=timestamp_in(-600), nbf=None, exp=timestamp_in(-60)), 401, "exp"),
    "not yet valid": (lambda i: i.token(nbf=timestamp_in(300), exp=timestamp_in(600)), 401, "nbf"),
    "issued in the future": (lambda i: i.token(iat=timestamp_in(300), nbf=None, exp=timestamp_in(600)), 401, "iat"),
    "living for a week": (lambda i: i.token(exp=timestamp_in(7 * 86400)), 401, "lives too long"),
    "without an end": (lambda i: i.token(exp=None), 401, "exp"),
    "other issuer": (lambda i: i.token(iss="https://elsewhere.test"), 401, "iss"),
    "other audience": (lambda i: i.token(aud=["account", "crm"]), 401, "aud"),
    "given to nobody": (lambda i: i.token(azp=None, client_id=None), 401, "azp"),
    "id token": (id_token, 401, "typ"),
    "id token with our audience": (lambda i: i.token(header={"typ": "JWT"}, typ="ID"), 401, "typ"),
    "id token called an access token": (lambda i: i.token(header={"typ": "at+jwt"}, typ="ID"), 401, "typ"),
    "refresh token": (lambda i: i.token(header={"typ": "JWT"}, typ="Refresh"), 401, "typ"),
    "logout token": (logout_token, 401, "typ"),
    "alg none": (unsigned, 401, "alg"),
    "HS256 with the public key": (hmac_of_the_public_key, 401, "alg"),
    "another key": (lambda i: i.token(key=OTHER_KEY), 401, "signature"),
    "unknown kid": (lambda i: i.token(header={"kid": "made-up"}), 401, "kid"),
    "another key, brought along": (
        lambda i: i.token(header={"alg": "ES256", "jwk": EC_KEY.as_dict(private=False)}, key=EC_KEY), 401, "refused",
    ),
    "another key, pointed to": (
        lambda i: i.token(header={"jku": "https://elsewhere.test/jwks"}, key=OTHER_KEY), 401, "signature",
    ),
    "critical header": (lambda i: i.token(header={"crit": ["b64"], "b64": True}), 401, "crit"),
    "no tenant": (lambda i: i.token(tenant=None, organization=None), 401, "organization"),
    "two organizations without a choice": (
        lambda i: i.token(tenant=None, organization=["acme", "beta"]), 401, "organization:<tenant>",
    ),
    "two organizations with their attributes": (
        lambda i: i.token(tenant=None, organization={"acme": {}, "beta": {}}), 401, "organization:<tenant>",
    ),
    "an organization and another tenant": (
        lambda i: i.token(tenant="beta", organization=["acme"]), 401, "several tenants",
    ),
    "somebody unknown": (lambda i: i.token(sub="nobody"), 403, "unknown-here"),
    "another tenant": (lambda i: i.token(tenant="beta", organization=None), 403, "unknown-here"),
    "switched off": (lambda i: i.token(sub="off"), 403, "person-off"),
    "session ended": (lambda i: i.token(sid="ended"), 401, "session-ended"),
    "all sessions ended": (lambda i: i.token(sub="gone", sid="any"), 401, "session-ended"),
}  # fmt: skip
