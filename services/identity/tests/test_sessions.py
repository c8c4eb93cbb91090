"""The issuer says that a session has ended: who may say so, and what follows."""

import time
from typing import Any

import pytest
from contracts.directory import SessionEnded
from testkit import ISSUER, parse_instant

Identity = Any
EVENTS = {"http://schemas.openid.net/event/backchannel-logout": {}}


def logout_token(identity: Identity, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    whole = {"aud": "portal", "events": EVENTS, "jti": "j-1", "sid": "s-1", **claims}
    sub = whole.pop("sub", "boss")
    return identity.harness.issuer.token(sub, None, header={"typ": "logout+jwt", **(header or {})}, **whole)


async def send(identity: Identity, token: str) -> tuple[int, str]:
    answer = await identity.harness.client(None).post("/back-channel-logout", data={"logout_token": token})
    identity.published = await identity.harness.read_outbox()
    return answer.status_code, answer.json()["type"].rpartition(":")[2] if answer.is_error else ""


async def me(identity: Identity, **claims: Any) -> tuple[int, str]:
    answer = await identity.harness.client(identity.harness.issuer.token("boss", "demo", **claims)).get("/me")
    return answer.status_code, answer.json().get("type", "").rpartition(":")[2]


async def test_an_ended_session_is_published_refused_and_deleted_in_time(identity: Identity) -> None:
    await identity.tenant("demo")
    assert await me(identity, sid="s-1") == (200, "")
    assert await send(identity, logout_token(identity)) == (200, "")
    (ended,) = identity.bodies(SessionEnded)
    assert (ended.iss, ended.sid, ended.sub) == (ISSUER, "s-1", "boss")
    await identity.harness.deliver(ended, tenant="platform")
    assert await me(identity, sid="s-1") == (401, "session-ended")
    assert await me(identity, sid="s-2") == (200, "")
    assert await me(identity) == (200, ""), "a token without a session"
    await identity.harness.clear_outbox()
    await identity.harness.tick(parse_instant("2099-01-01T00:00Z"))
    tombstones = await identity.harness.rows("platform", "SELECT key FROM outbox WHERE value IS NULL")
    assert [row["key"] for row in tombstones] == ["session/platform/sid:s-1"]


async def test_all_sessions_of_a_subject(identity: Identity) -> None:
    await identity.tenant("demo")
    assert await send(identity, logout_token(identity, sid=None)) == (200, "")
    (ended,) = identity.bodies(SessionEnded)
    await identity.harness.deliver(ended, tenant="platform")
    assert await me(identity, sid="any", iat=int(time.time()) - 5) == (401, "session-ended")
    assert await me(identity, sid="later", iat=int(time.time()) + 5) == (200, ""), "signed in again since"


async def test_a_logout_token_is_good_once(identity: Identity) -> None:
    assert await send(identity, logout_token(identity)) == (200, "")
    assert await send(identity, logout_token(identity)) == (400, "logout-token-used")
    assert await send(identity, logout_token(identity, jti="j-2")) == (200, "")


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "crm"}, "invalid-token"),
        ({"iss": "https://elsewhere.test"}, "invalid-token"),
        ({"events": None}, "invalid-token"),
        ({"events": {"other": {}}}, "invalid-token"),
        ({"nonce": "n"}, "invalid-token"),
        ({"sid": None, "sub": None}, "invalid-token"),
        ({"jti": None}, "invalid-token"),
        ({"iat": int(time.time()) - 3000}, "logout-token-old"),
        ({"exp": int(time.time()) - 3000}, "invalid-token"),
        ({"header": {"typ": "at+jwt"}}, "invalid-token"),
    ],
)
async def test_what_is_no_logout_token_of_ours(identity: Identity, claims: dict[str, Any], problem: str) -> None:
    assert await send(identity, logout_token(identity, **claims)) == (400, problem)
    assert identity.bodies(SessionEnded) == []
