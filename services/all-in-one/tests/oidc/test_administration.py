"""Accounts and clients: the Python door, the HTTP door, switching off, loopback only."""

import pytest
from all_in_one import oidc


async def bearer(browser, username="admin", password="admin-secret"):
    token = (await browser.password(username, password)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def test_an_admin_creates_an_account_that_can_sign_in(browser):
    headers = await bearer(browser)
    new = {"username": "nora", "password": "nora-secret", "tenant": "acme", "display_name": "Nora"}
    created = await browser.post("/oidc/accounts", json=new, headers=headers)
    assert created.status_code == 201
    assert created.json() == {
        "sub": created.json()["sub"],
        "username": "nora",
        "tenant": "acme",
        "display_name": "Nora",
        "active": True,
        "admin": False,
        "one_time_token": None,
    }
    claims = (await browser.decode((await browser.password("nora", "nora-secret")).json()["access_token"])).claims
    assert (claims["sub"], claims["tenant"]) == (created.json()["sub"], "acme")
    again = await browser.post("/oidc/accounts", json=new, headers=headers)
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")


async def test_an_account_without_password_comes_with_a_one_time_token(browser):
    new = {"username": "nora", "tenant": "acme"}
    created = await browser.post("/oidc/accounts", json=new, headers=await bearer(browser))
    answer = await browser.token(oidc.ONE_TIME, client_id="uplift-cli", one_time_token=created.json()["one_time_token"])
    assert answer.status_code == 200


async def test_an_admin_registers_clients(browser):
    headers = await bearer(browser)
    new = {"client_id": "dialler", "tenant": "acme", "grants": ["client_credentials"]}
    created = (await browser.post("/oidc/clients", json=new, headers=headers)).json()
    answer = await browser.token("client_credentials", auth=("dialler", created["client_secret"]))
    assert (await browser.decode(answer.json()["access_token"])).claims["tenant"] == "acme"
    assert (await browser.post("/oidc/clients", json=new, headers=headers)).status_code == 409
    for wrong in ({"grants": ["password"]}, {"grants": ["magic"]}, {"public": True}, {"tenant": None}, {"grants": []}):
        faulty = new | {"client_id": "other"} | wrong
        assert (await browser.post("/oidc/clients", json=faulty, headers=headers)).status_code == 422, wrong
    page = {"client_id": "page", "public": True, "redirect_uris": ["http://127.0.0.1:1/x"]}
    page["grants"] = ["authorization_code"]
    assert (await browser.post("/oidc/clients", json=page, headers=headers)).json()["client_secret"] is None
    assert (await browser.authorize("page", redirect_uri="http://127.0.0.1:1/x")).status_code == 200


@pytest.mark.parametrize("path", ["/oidc/accounts", "/oidc/clients", "/oidc/accounts/lead/active"])
async def test_only_admins_administer(browser, path):
    assert (await browser.post(path, json={})).status_code == 401
    assert (await browser.post(path, json={}, headers=await bearer(browser, "lead", "lead-secret"))).status_code == 403
    machine = (await browser.token("client_credentials", auth=("switch", "switch-secret"))).json()["access_token"]
    assert (await browser.post(path, json={}, headers={"Authorization": f"Bearer {machine}"})).status_code == 401


async def test_faulty_input_is_named_without_repeating_it(browser):
    faulty = {"username": "No Good", "tenant": "acme", "password": "secret"}
    answer = await browser.post("/oidc/accounts", json=faulty, headers=await bearer(browser))
    assert answer.status_code == 422
    assert {fault["loc"][-1] for fault in answer.json()["errors"]} == {"username", "password"}
    assert '"secret"' not in answer.text


async def test_switching_an_account_off_ends_everything_it_had(browser, other_browser, engine):
    headers = await bearer(other_browser)
    tokens = await browser.tokens()
    direct = (await browser.password()).json()
    one_time = await oidc.issue_one_time(engine, "lead")
    pending = httpx_code(await browser.authorize())

    off = await other_browser.post("/oidc/accounts/lead/active", json={"active": False}, headers=headers)
    assert off.json()["active"] is False
    refused = [
        await browser.refresh(tokens["refresh_token"]),
        await browser.refresh(direct["refresh_token"], client_id="uplift-cli"),
        await browser.password(),
        await browser.redeem(pending),
        await browser.token(oidc.ONE_TIME, client_id="uplift-cli", one_time_token=one_time),
    ]
    assert [answer.json()["error"] for answer in refused] == ["invalid_grant"] * 5
    bearing = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await browser.get("/oidc/userinfo", headers=bearing)).status_code == 401
    page = await browser.authorize()
    assert page.status_code == 200
    assert (await browser.submit(page, username="lead", password="lead-secret")).status_code == 400
    assert (await browser.authorize(prompt="none")).headers["location"].count("login_required") == 1

    await other_browser.post("/oidc/accounts/lead/active", json={"active": True}, headers=headers)
    assert (await browser.password()).status_code == 200
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 400
    unknown = await other_browser.post("/oidc/accounts/nobody/active", json={"active": False}, headers=headers)
    assert unknown.status_code == 404


def httpx_code(response):
    return response.headers["location"].split("code=")[1].split("&")[0]


async def test_ensuring_again_keeps_what_people_changed(browser, engine):
    await browser.post("/oidc/accounts/lead/active", json={"active": False}, headers=await bearer(browser))
    sub = await oidc.ensure_account(engine, "lead", "other-secret", "demo", sub="other", display_name="Lena L.")
    assert sub == "lead-1"
    assert (await browser.password(password="other-secret")).json()["error"] == "invalid_grant"
    await browser.post("/oidc/accounts/lead/active", json={"active": True}, headers=await bearer(browser))
    assert (await browser.decode((await browser.password()).json()["id_token"])).claims["name"] == "Lena L."
    with pytest.raises(ValueError, match="lead-1"):
        await oidc.ensure_account(engine, "lena", "secret-secret", "demo", sub="lead-1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_loopback_is_allowed(host):
    oidc.refuse_beyond_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "", "example.org", "localhost.example.org"])
def test_listening_beyond_loopback_is_refused_with_the_cure(host):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1.*Keycloak"):
        oidc.refuse_beyond_loopback(host)


async def test_the_browsable_pages_need_nothing_from_elsewhere(browser):
    page = (await browser.get("/oidc/docs")).text
    assert "/oidc/static-offline-docs/swagger-ui-bundle.js" in page
    assert "https://" not in page
    assert (await browser.get("/oidc/static-offline-docs/swagger-ui-bundle.js")).status_code == 200
