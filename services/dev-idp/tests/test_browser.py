"""The sign-in page, one session for all clients, forgery, sign-out."""

import dev_idp
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

CALLBACK = "http://127.0.0.1:8080/callback"


def logout(browser, **query):
    return browser.get("/oidc/logout", params=query)


async def test_the_page_is_accessible_names_demo_users_and_cannot_be_framed(browser):
    page = await browser.authorize()
    for piece in (
        '<html lang="en">',
        'label for="username"',
        'label for="password"',
        'autocomplete="current-password"',
    ):
        assert piece in page.text
    assert "<code>lead</code> Lena &lt;Lead&gt;" in page.text
    assert "<code>admin</code>" not in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_without_demo_nobody_is_listed(engine, app, clock):
    bare = dev_idp.create_provider(engine, "http://127.0.0.1:8080", clock=clock, demo=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bare), base_url="http://127.0.0.1:8080") as client:
        query = "response_type=code&client_id=wallboard&redirect_uri=http://127.0.0.1:8080/callback&nonce=n"
        page = await client.get(f"/authorize?{query}")
    assert 'label for="username"' in page.text
    assert "lead" not in page.text


async def test_a_second_client_does_not_ask_again(browser):
    await browser.log_in()
    back = httpx.URL((await browser.authorize("wallboard")).headers["location"]).params
    form = {"code": back["code"], "redirect_uri": CALLBACK, "code_verifier": "v" * 64}
    answer = await browser.token("authorization_code", auth=("wallboard", "wall-secret"), **form)
    assert (await browser.decode(answer.json()["id_token"])).claims["sub"] == "lead-1"
    assert (await browser.authorize(prompt="none")).status_code == 303
    assert (await browser.authorize(prompt="login")).status_code == 200


async def test_max_age_and_the_sessions_end_ask_again(browser, clock):
    await browser.log_in()
    clock.pass_by(minutes=10)
    assert (await browser.authorize(max_age="600")).status_code == 303
    assert (await browser.authorize(max_age="599")).status_code == 200
    clock.pass_by(hours=8)
    assert (await browser.authorize()).status_code == 200


@pytest.mark.parametrize("username, password", [("lead", "guess"), ("nobody", "lead-secret"), ("first", "")])
async def test_wrong_credentials_show_the_form_again(browser, username, password):
    page = await browser.submit(await browser.authorize(), username=username, password=password)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert f'value="{username}"' in page.text
    assert "uplift_oidc_session" not in browser.cookies
    assert (await browser.submit(page, username="LEAD ", password="lead-secret")).status_code == 303


async def test_the_session_cookie_is_guarded_and_changes_with_each_login(browser):
    page = await browser.authorize()
    answer = await browser.submit(page, username="lead", password="lead-secret")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("uplift_oidc_session="))
    assert {"HttpOnly", "Path=/oidc", "SameSite=lax"} <= set(cookie.split("; "))
    old = browser.cookies["uplift_oidc_session"]
    await browser.log_in(prompt="login")
    assert browser.cookies["uplift_oidc_session"] != old
    browser.cookies.clear()
    browser.cookies.set("uplift_oidc_session", old, domain="127.0.0.1")
    assert (await browser.authorize()).status_code == 200


async def test_signing_in_again_keeps_ones_own_tokens_and_ends_another_persons(browser):
    tokens = await browser.tokens()
    await browser.log_in(prompt="login")
    renewed = (await browser.refresh(tokens["refresh_token"])).json()
    await browser.log_in("admin", "admin-secret", prompt="login")
    assert (await browser.refresh(renewed["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_tampered_session_cookie_is_no_session(browser):
    await browser.log_in()
    value = browser.cookies["uplift_oidc_session"]
    browser.cookies.clear()
    browser.cookies.set("uplift_oidc_session", value[:-2] + "xx", domain="127.0.0.1")
    assert (await browser.authorize(prompt="none")).headers["location"].count("login_required") == 1


async def test_a_forged_login_form_opens_nothing(browser, other_browser, clock):
    secret = {"username": "lead", "password": "lead-secret"}
    foreign = await other_browser.authorize()
    page = await browser.authorize()

    attempts = [
        await browser.submit(page, seal="", **secret),
        await browser.submit(page, seal="tampered", **secret),
        await browser.submit(foreign, **secret),  # another browser's seal
        await browser.submit(page, headers={"Origin": "http://evil.example"}, **secret),
        await browser.submit(page, headers={"Origin": "http://127.0.0.1:9999"}, **secret),
        await browser.submit(page, headers={"Origin": "null"}, **secret),
    ]
    cookie = browser.cookies["uplift_oidc_form"]
    browser.cookies.delete("uplift_oidc_form")
    attempts.append(await browser.submit(page, **secret))
    browser.cookies.clear()
    browser.cookies.set("uplift_oidc_form", cookie, domain="127.0.0.1")
    clock.pass_by(minutes=30)
    attempts.append(await browser.submit(page, **secret))
    assert [answer.status_code for answer in attempts] == [400] * len(attempts)
    assert "uplift_oidc_session" not in browser.cookies

    fresh = await browser.authorize()
    good = await browser.submit(fresh, headers={"Origin": "http://127.0.0.1:8080"}, **secret)
    assert good.status_code == 303


async def test_an_access_token_is_no_seal(browser):
    token = (await browser.password()).json()["access_token"]
    page = await browser.submit(await browser.authorize(), seal=token, username="lead", password="lead-secret")
    assert page.status_code == 400


async def test_a_foreign_host_name_is_refused(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rebound.example:8080") as client:
        assert (await client.get("/oidc/jwks")).status_code == 400


async def test_logout_with_the_id_token_ends_session_and_refresh_tokens(browser, clock):
    tokens = await browser.tokens()
    clock.pass_by(hours=1)  # the hint may be expired
    answer = await logout(browser, id_token_hint=tokens["id_token"], post_logout_redirect_uri=CALLBACK, state="bye")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{CALLBACK}?state=bye")
    assert (await browser.authorize()).status_code == 200
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_logout_kills_a_code_on_its_way(browser):
    code = (await browser.log_in())["code"]
    page = await logout(browser)
    assert (await browser.submit(page)).status_code == 200
    assert (await browser.redeem(code)).json()["error"] == "invalid_grant"


async def test_logout_without_a_hint_asks_and_cannot_be_forged(browser):
    await browser.log_in()
    page = await logout(browser, client_id="portal", post_logout_redirect_uri=CALLBACK)
    assert "Do you want to sign out" in page.text
    forged = await browser.submit(page, seal="forged")
    assert forged.headers["location"].startswith("http://127.0.0.1:8080/oidc/logout?")
    assert (await browser.authorize()).status_code == 303
    assert (await browser.submit(page)).headers["location"] == CALLBACK
    assert (await browser.authorize()).status_code == 200


async def test_a_client_may_post_its_logout(browser):
    tokens = await browser.tokens()
    form = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": CALLBACK}
    step = await browser.post("/oidc/logout", data=form)
    assert (await browser.get(step.headers["location"])).headers["location"] == CALLBACK
    assert (await browser.authorize()).status_code == 200


async def test_somebody_elses_id_token_does_not_end_my_session(browser, other_browser):
    theirs = (await other_browser.tokens())["id_token"]
    await browser.log_in()
    assert "Do you want to sign out" in (await logout(browser, id_token_hint=theirs)).text
    assert (await browser.authorize()).status_code == 303


async def test_logout_goes_to_registered_addresses_only(browser):
    tokens = await browser.tokens()
    hint = tokens["id_token"]
    for query in (
        {"id_token_hint": hint, "post_logout_redirect_uri": "http://evil.example/"},
        {"post_logout_redirect_uri": CALLBACK},
        {"client_id": "nobody", "post_logout_redirect_uri": CALLBACK},
        {"id_token_hint": hint, "client_id": "wallboard"},
        {"id_token_hint": tokens["access_token"]},
        {"id_token_hint": "nonsense"},
    ):
        answer = await logout(browser, **query)
        assert (answer.status_code, "location" in answer.headers) == (400, False), query
    assert (await browser.authorize()).status_code == 303


async def test_clients_that_took_part_are_told_when_the_session_ends(app, browser):
    tokens = await browser.tokens()
    hint = {"id_token_hint": tokens["id_token"], "client_id": "portal"}
    assert (await browser.get("/oidc/logout", params=hint)).status_code == 200
    ((url, logout_token),) = app.state.told
    assert url == "http://127.0.0.1:8080/api/identity/v1/back-channel-logout"
    keys = KeySet.import_key_set((await browser.get("/oidc/jwks")).json())
    told, known = jwt.decode(logout_token, keys), jwt.decode(tokens["id_token"], keys).claims
    assert told.header["typ"] == "logout+jwt"
    assert {name: told.claims[name] for name in ("sid", "sub", "aud")} == {
        "sid": known["sid"],
        "sub": "lead-1",
        "aud": "portal",
    }
    assert told.claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in told.claims
