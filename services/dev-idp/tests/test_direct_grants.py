"""Refresh, client credentials, password, one-time token, revocation, userinfo."""

import asyncio

import dev_idp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey


async def test_refresh_rotates_and_reuse_revokes_the_family(browser):
    first = await browser.tokens()
    second = (await browser.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await browser.decode(second["id_token"])).claims["sub"] == "lead-1"
    assert (await browser.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await browser.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"


async def test_reuse_in_one_family_leaves_another_login_alone(browser, other_browser):
    here, there = await browser.tokens(), await other_browser.tokens()
    await browser.refresh(here["refresh_token"])
    await browser.refresh(here["refresh_token"])
    assert (await other_browser.refresh(there["refresh_token"])).status_code == 200


async def test_of_refreshes_at_once_one_succeeds_and_nothing_of_the_family_survives(browser):
    token = (await browser.tokens())["refresh_token"]
    answers = await asyncio.gather(*(browser.refresh(token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    survivor = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await browser.refresh(survivor["refresh_token"])).json()["error"] == "invalid_grant"


async def test_refresh_slides_eight_hours_and_then_ends(browser, clock):
    token = (await browser.tokens())["refresh_token"]
    for _ in range(3):
        clock.pass_by(hours=7, minutes=59)
        token = (await browser.refresh(token)).json()["refresh_token"]
    clock.pass_by(hours=8)
    assert (await browser.refresh(token)).json()["error"] == "invalid_grant"


async def test_refresh_narrows_but_never_widens_the_scope(browser):
    token = (await browser.tokens(scope="openid"))["refresh_token"]
    assert (await browser.refresh(token, scope="openid profile")).json()["error"] == "invalid_scope"
    narrowed = (await browser.refresh(token, scope="openid")).json()
    assert narrowed["scope"] == "openid"
    assert "name" not in (await browser.decode(narrowed["id_token"])).claims


async def test_refresh_token_of_another_client_is_refused(browser):
    token = (await browser.tokens())["refresh_token"]
    stolen = await browser.token("refresh_token", auth=("wallboard", "wall-secret"), refresh_token=token)
    assert stolen.json()["error"] == "invalid_grant"
    assert (await browser.refresh(token)).status_code == 200


async def test_client_credentials(browser):
    answer = (await browser.token("client_credentials", auth=("switch", "switch-secret"), scope="openid")).json()
    assert "refresh_token" not in answer
    assert "id_token" not in answer
    claims = (await browser.decode(answer["access_token"])).claims
    assert (claims["sub"], claims["tenant"], claims["aud"]) == ("client:switch", "demo", "uplift")
    wrong = await browser.token("client_credentials", auth=("switch", "guess"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")


async def test_password_grant_for_the_command_line(browser):
    answer = (await browser.password()).json()
    claims = (await browser.decode(answer["access_token"])).claims
    assert (claims["sub"], claims["client_id"], claims["tenant"]) == ("lead-1", "uplift-cli", "demo")
    assert (await browser.refresh(answer["refresh_token"], client_id="uplift-cli")).status_code == 200


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"password": "guess"}, "invalid_grant"),
        ({"username": "nobody"}, "invalid_grant"),
        ({"username": "first"}, "invalid_grant"),
        ({"password": ""}, "invalid_request"),
        ({"client_id": "portal"}, "unauthorized_client"),
    ],
)
async def test_password_grant_refusals(browser, changes, error):
    assert (await browser.password(**changes)).json()["error"] == error


async def test_no_other_client_can_be_given_the_password_grant(engine):
    with pytest.raises(ValueError, match="uplift-cli"):
        await dev_idp.ensure_client(engine, "portal", None, [], None, ["password"])
    with pytest.raises(ValueError, match="secret and a tenant"):
        await dev_idp.ensure_client(engine, "machine", None, [], "demo", ["client_credentials"])


async def test_one_time_token_admits_once_and_sets_the_password(browser, engine):
    token = await dev_idp.issue_one_time(engine, "first")
    assert not await dev_idp.has_password(engine, "first")
    form = {"client_id": "uplift-cli", "one_time_token": token}

    short = await browser.token(dev_idp.ONE_TIME, **form, new_password="short")
    assert short.json()["error"] == "invalid_request"
    answer = await browser.token(dev_idp.ONE_TIME, **form, new_password="a long password")
    assert (await browser.decode(answer.json()["access_token"])).claims["tenant"] == "platform"
    again = await browser.token(dev_idp.ONE_TIME, **form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")

    assert await dev_idp.has_password(engine, "first")
    assert (await browser.password("first", "a long password")).status_code == 200


async def test_a_new_one_time_token_replaces_the_old_one(browser, engine):
    old, new = await dev_idp.issue_one_time(engine, "first"), await dev_idp.issue_one_time(engine, "first")
    answers = [await browser.token(dev_idp.ONE_TIME, client_id="uplift-cli", one_time_token=one) for one in (old, new)]
    assert [answer.status_code for answer in answers] == [400, 200]
    with pytest.raises(LookupError):
        await dev_idp.issue_one_time(engine, "nobody")


async def test_revocation_ends_the_family_and_keeps_silent_about_unknown_tokens(browser):
    tokens = await browser.tokens()
    refused = await browser.post(
        "/oidc/revoke", data={"token": tokens["refresh_token"]}, auth=("wallboard", "wall-secret")
    )
    assert refused.json()["error"] == "invalid_grant"
    for token in (tokens["refresh_token"], tokens["refresh_token"], "never seen"):
        answer = await browser.post("/oidc/revoke", data={"client_id": "portal", "token": token})
        assert answer.status_code == 200
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    access = await browser.post("/oidc/revoke", data={"client_id": "portal", "token": tokens["access_token"]})
    assert access.json()["error"] == "unsupported_token_type"


async def test_userinfo_shows_what_the_scope_opens(browser, clock):
    async def userinfo(token):
        return await browser.get("/oidc/userinfo", headers={"Authorization": f"Bearer {token}"})

    full, narrow = await browser.tokens(), (await browser.password(scope="profile")).json()
    assert (await userinfo(full["access_token"])).json() == {
        "sub": "lead-1",
        "tenant": "demo",
        "preferred_username": "lead",
        "name": "Lena <Lead>",
    }
    assert (await userinfo(narrow["access_token"])).status_code == 403
    machine = (await browser.token("client_credentials", auth=("switch", "switch-secret"))).json()["access_token"]
    head, body, signature = full["access_token"].split(".")
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + body + "."
    foreign_key = RSAKey.generate_key(2048, {"kid": "foreign"})
    claims = jwt.decode(full["access_token"], KeySet.import_key_set((await browser.get("/oidc/jwks")).json())).claims
    foreign = jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": "foreign"}, claims, foreign_key)
    no_kid = jwt.encode({"alg": "RS256", "typ": "at+jwt"}, claims, foreign_key)
    for wrong in (
        foreign,
        no_kid,
        full["id_token"],
        f"{head}.{body}.{signature[::-1]}",
        unsigned,
        machine,
        "nonsense",
        "",
    ):
        answer = await userinfo(wrong)
        assert answer.status_code == 401, wrong
        assert answer.headers["www-authenticate"].startswith("Bearer")
    clock.pass_by(minutes=5)
    assert (await userinfo(full["access_token"])).status_code == 401
