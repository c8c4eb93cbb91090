"""Every kind of bad token, at the verifier and at the door."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from servicekit import tokens as clockwork
from servicekit.errors import Unauthenticated, Unavailable
from servicekit.tokens import TokenVerifier
from testkit import AUDIENCE, ISSUER, Harness, TestIssuer

OTHER = RSAKey.generate_key(2048, {"kid": "test-key"}, auto_kid=False)
EC = ECKey.generate_key("P-256", {"kid": "test-key"}, auto_kid=False)


def soon(seconds: float) -> int:
    return int(time.time() + seconds)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unsigned(issuer: TestIssuer, alg: str) -> str:
    return ".".join([part({"alg": alg, "typ": "at+jwt", "kid": "test-key"}), part(issuer.claims("ada", "acme")), ""])


def signed_with(issuer: TestIssuer, key: Any, alg: str, **header: Any) -> str:
    whole = {"alg": alg, "typ": "at+jwt", "kid": "test-key", **header}
    return jwt.encode(whole, issuer.claims("ada", "acme"), key, algorithms=[alg])


def by_hand(claims: Any, sign: Callable[[bytes], bytes], **header: Any) -> str:
    """What no library would sign."""
    signed = f"{part({'typ': 'at+jwt', 'kid': 'test-key', **header})}.{part(claims)}"
    return f"{signed}.{part(sign(signed.encode()))}"


def rsa(key: RSAKey) -> Callable[[bytes], bytes]:
    private = key.private_key
    assert private is not None
    return lambda signed: private.sign(signed, PKCS1v15(), SHA256())


def confused(issuer: TestIssuer) -> str:
    """HS256 with the public key as the secret."""
    secret = issuer.key.as_pem(private=False)
    claims = issuer.claims("ada", "acme")
    return by_hand(claims, lambda signed: hmac.digest(secret, signed, "sha256"), alg="HS256")


def tampered(issuer: TestIssuer) -> str:
    head, _, signature = issuer.token("ada", "acme").split(".")
    return f"{head}.{part(issuer.claims('root', 'acme'))}.{signature}"


MISSING: Any = None
SEVERAL: Any = ["acme", "zeta"]

BAD: dict[str, tuple[Callable[[TestIssuer], str], str]] = {
    "empty": (lambda _: "", "not a JWT"),
    "words": (lambda _: "not a token", "not a JWT"),
    "two parts": (lambda i: i.token("ada", "acme").rpartition(".")[0], "not a JWT"),
    "not base64": (lambda _: "ü.ü.ü", "not a JWT"),
    "header is a list": (lambda _: f"{part([])}.{part({})}.x", "not a JWT"),
    "header nested without end": (lambda _: f"{part(b'[' * 30000)}.x.y", "not a JWT"),
    "payload is a list": (lambda i: by_hand([], rsa(i.key), alg="RS256"), ""),
    "no kid": (lambda i: f"{part({'alg': 'RS256'})}.{part({})}.x", "kid"),
    "kid is a number": (lambda i: f"{part({'alg': 'RS256', 'kid': 1})}.{part({})}.x", "kid"),
    "unknown kid": (lambda i: i.token("ada", "acme", header={"kid": "made-up"}), "kid"),
    "our kid, another key": (lambda i: signed_with(i, OTHER, "RS256"), "signature"),
    "our kid, another kind of key": (lambda i: signed_with(i, EC, "ES256"), ""),
    "tampered payload": (tampered, "signature"),
    "no signature": (lambda i: i.token("ada", "acme").rpartition(".")[0] + ".", "signature"),
    "alg none": (lambda i: unsigned(i, "none"), "alg"),
    "alg None": (lambda i: unsigned(i, "None"), "alg"),
    "alg missing": (lambda i: f"{part({'kid': 'test-key'})}.{part({})}.x", "alg"),
    "alg is a list": (lambda i: f"{part({'kid': 'test-key', 'alg': ['RS256']})}.{part({})}.x", "alg"),
    "HS256 with the public key": (confused, "alg"),
    "key in the header": (lambda i: signed_with(i, EC, "ES256", jwk=EC.as_dict(private=False)), ""),
    "header without measure": (lambda i: by_hand({}, rsa(i.key), alg="RS256", x5c=["x" * 5000]), "size"),
    "key address in the header": (
        lambda i: by_hand(i.claims("ada", "acme"), rsa(OTHER), alg="RS256", jku="https://evil.test/jwks"),
        "signature",
    ),
    "certificate address in the header": (
        lambda i: by_hand(i.claims("ada", "acme"), rsa(OTHER), alg="RS256", x5u="https://evil.test"),
        "sign",
    ),
    "unknown critical header": (
        lambda i: by_hand(i.claims("ada", "acme"), rsa(i.key), alg="RS256", crit=["odd"], odd=1),
        "",
    ),
    "wrong issuer": (lambda i: i.token("ada", "acme", iss="https://evil.test"), "iss"),
    "issuer missing": (lambda i: i.token("ada", "acme", iss=None), "iss"),
    "issuer with more behind": (lambda i: i.token("ada", "acme", iss=f"{ISSUER}.evil.test"), "iss"),
    "wrong audience": (lambda i: i.token("ada", "acme", aud="account"), "aud"),
    "audience missing": (lambda i: i.token("ada", "acme", aud=None), "aud"),
    "audience among others not ours": (lambda i: i.token("ada", "acme", aud=["account", "uplift2"]), "aud"),
    "expired": (lambda i: i.token("ada", "acme", exp=soon(-60)), "exp"),
    "expiry missing": (lambda i: i.token("ada", "acme", exp=None), "exp"),
    "expiry in words": (lambda i: i.token("ada", "acme", exp="tomorrow"), "exp"),
    "not valid yet": (lambda i: i.token("ada", "acme", nbf=soon(300)), "nbf"),
    "id token": (lambda i: i.token("ada", "acme", header={"typ": "JWT"}), "typ"),
    "id token of Keycloak": (lambda i: i.token("ada", "acme", header={"typ": "JWT"}, typ="ID"), "typ"),
    "refresh token": (lambda i: i.token("ada", "acme", header={"typ": "JWT"}, typ="Refresh"), "typ"),
    "subject missing": (lambda i: i.token(MISSING, "acme"), "sub"),
    "tenant missing": (lambda i: i.token("ada", MISSING), "tenant"),
    "tenant empty": (lambda i: i.token("ada", ""), "tenant"),
    "several tenants": (lambda i: i.token("ada", SEVERAL), "tenant"),
    "two tenants in one": (lambda i: i.token("ada", "acme,zeta"), "tenant"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_tokens_are_refused_with_the_reason(issuer: TestIssuer, name: str) -> None:
    make, why = BAD[name]
    with pytest.raises(Unauthenticated) as refused:
        await issuer.verifier().verify(make(issuer))
    assert why in refused.value.detail


async def test_good_tokens_are_accepted(issuer: TestIssuer) -> None:
    """Clocks that differ by some seconds among them."""
    accepted: list[dict[str, Any]] = [
        {},
        {"aud": ["account", AUDIENCE]},
        {"exp": soon(-10)},
        {"nbf": soon(10)},
        {"nbf": None},
        {"iss": ISSUER + "/"},
    ]
    for claims in accepted:
        found = await issuer.verifier().verify(issuer.token("ada", "acme", **claims))
        assert (found.sub, found.tenant, found.client_id) == ("ada", "acme", "test")


async def test_an_access_token_of_keycloak_is_accepted(issuer: TestIssuer) -> None:
    assert await issuer.verifier().verify(issuer.token("ada", "acme", header={"typ": "JWT"}, typ="Bearer"))


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "bearer not-a-token", "Bearer a.b.c d"]
)
async def test_the_door_answers_401_and_says_how(notes: Harness, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await notes.client(None).get("/me", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_good_token_opens_the_door(notes: Harness) -> None:
    assert (await notes.client_as("ada", "acme").get("/me")).json()["slug"] == "ada"


# Where the keys come from


class Keys:
    """An issuer's pages that can be away, and count who asks."""

    def __init__(self, issuer: TestIssuer) -> None:
        self.keys: Any = {"keys": [issuer.key.as_dict(private=False)]}
        self.asked = 0
        self.away = False
        self.verifier = TokenVerifier(
            httpx.AsyncClient(transport=httpx.MockTransport(self.answer)),
            issuer=ISSUER,
            audience=AUDIENCE,
            jwks_url=f"{ISSUER}/jwks",
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.away:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(200, json=self.keys)


@pytest.fixture
def keys(issuer: TestIssuer) -> Keys:
    return Keys(issuer)


class Clock:
    """Stands for the verifier's monotonic clock; the wall clock goes on."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.time = time.time

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(clockwork, "time", clock)
    return clock


async def refused(keys: Keys, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await keys.verifier.verify(token)


async def test_keys_are_fetched_once(keys: Keys, issuer: TestIssuer) -> None:
    for _ in range(5):
        await keys.verifier.verify(issuer.token("ada", "acme"))
    assert keys.asked == 1


async def test_a_flood_of_made_up_key_ids_costs_one_look_in_ten_seconds(
    keys: Keys, issuer: TestIssuer, clock: Clock
) -> None:
    for number in range(20):
        await refused(keys, issuer.token("ada", "acme", header={"kid": f"made-up-{number}"}))
    assert keys.asked == 1
    clock.passed += 11
    for number in range(20):
        await refused(keys, issuer.token("ada", "acme", header={"kid": f"made-up-{number}"}))
    assert keys.asked == 2


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(keys: Keys, issuer: TestIssuer, clock: Clock) -> None:
    known = issuer.token("ada", "acme")
    await keys.verifier.verify(known)
    fresh = RSAKey.generate_key(2048, {"kid": "fresh"}, auto_kid=False)
    keys.keys = {"keys": [fresh.as_dict(private=False)]}
    clock.passed += 11
    await keys.verifier.verify(signed_with(issuer, fresh, "RS256", kid="fresh"))
    await refused(keys, known)


async def test_a_token_that_was_seen_before_expires(keys: Keys, issuer: TestIssuer, clock: Clock) -> None:
    known = issuer.token("ada", "acme")
    assert await keys.verifier.verify(known) == await keys.verifier.verify(known)
    clock.time = lambda: time.time() + 700
    await refused(keys, known)


async def test_old_keys_serve_while_the_issuer_is_away(keys: Keys, issuer: TestIssuer, clock: Clock) -> None:
    await keys.verifier.verify(issuer.token("ada", "acme"))
    keys.away = True
    for _ in range(3):
        clock.passed += 400
        await keys.verifier.verify(issuer.token("ada", "acme"))
    assert keys.asked == 4


@pytest.mark.parametrize("nonsense", [{}, [], {"keys": []}, {"keys": [{"kty": "odd"}]}, {"keys": None}, "words"])
async def test_a_page_that_holds_no_keys_does_not_replace_those_at_hand(
    keys: Keys, issuer: TestIssuer, clock: Clock, nonsense: Any
) -> None:
    await keys.verifier.verify(issuer.token("ada", "acme"))
    keys.keys = nonsense
    clock.passed += 400
    await keys.verifier.verify(issuer.token("ada", "acme"))


async def test_an_issuer_never_reached_is_503_and_is_not_stormed(keys: Keys, issuer: TestIssuer, clock: Clock) -> None:
    keys.away = True
    for _ in range(10):
        with pytest.raises(Unavailable) as away:
            await keys.verifier.verify(issuer.token("ada", "acme"))
        assert away.value.retry_after
    assert keys.asked == 1
    keys.away = False
    clock.passed += 2
    assert await keys.verifier.verify(issuer.token("ada", "acme"))
