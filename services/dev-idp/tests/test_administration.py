"""Accounts and clients: the Python door, the HTTP door, switching off, loopback only."""

import dev_idp
import pytest

CALLBACK = "http://127.0.0.1:8080/callback"


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
    answer = await browser.token(
        dev_idp.ONE_TIME, client_id="uplift-cli", one_time_token=created.json()["one_time_token"]
    )
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


KEPT = {"tenant": "acme", "display_name": "Nora", "temporary_password": "nora-for-now"}


async def service(browser, engine):
    await dev_idp.ensure_client(
        engine, dev_idp.SERVICE_CLIENT, "service-secret", [], "platform", ["client_credentials"]
    )
    answer = await browser.token("client_credentials", auth=(dev_idp.SERVICE_CLIENT, "service-secret"))
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_identity_keeps_accounts_of_a_tenant_and_of_no_other(browser, engine):
    headers = await service(browser, engine)
    made = await browser.put("/oidc/accounts/nora", json=KEPT, headers=headers)
    again = await browser.put("/oidc/accounts/nora", json=KEPT | {"display_name": "Nora N."}, headers=headers)
    assert (made.json()["sub"], again.json()["display_name"]) == (again.json()["sub"], "Nora N.")
    theirs = await browser.put("/oidc/accounts/nora", json=KEPT | {"tenant": "beta"}, headers=headers)
    assert (theirs.status_code, "taken" in theirs.json()["detail"]) == (409, True)
    off = {"active": False, "tenant": "beta"}
    assert (await browser.post("/oidc/accounts/nora/active", json=off, headers=headers)).status_code == 404
    assert (await browser.put("/oidc/accounts/nobody/tenants/beta", headers=headers)).status_code == 404


async def test_identity_keeps_clients_of_a_tenant_and_of_no_other(browser, engine):
    headers = await service(browser, engine)
    wanted = {"tenant": "acme", "grants": ["client_credentials"], "secret": "s" * 32}

    async def put(**changes):
        return await browser.put("/oidc/clients/acme.dialler", json=wanted | changes, headers=headers)

    assert (await put(secret=None)).status_code == 422, "without a secret it would be public"
    assert (await put()).json() == {"client_id": "acme.dialler", "sub": "client:acme.dialler"}
    assert (await put(secret=None)).status_code == 200
    assert (await browser.token("client_credentials", auth=("acme.dialler", "s" * 32))).status_code == 200
    assert (await put(tenant="beta")).status_code == 409
    for tenant, status in (("beta", 404), ("acme", 204), ("acme", 404)):
        gone = await browser.delete("/oidc/clients/acme.dialler", params={"tenant": tenant}, headers=headers)
        assert gone.status_code == status
    assert (await browser.token("client_credentials", auth=("acme.dialler", "s" * 32))).status_code == 401


async def test_what_a_subsystem_gets_for_an_admin_administers_nothing(browser, engine):
    code = ["authorization_code"]
    await dev_idp.ensure_client(engine, "platform.crm", "crm-secret", [CALLBACK], "platform", code)
    back = await browser.log_in("admin", "admin-secret", client_id="platform.crm")
    answer = (await browser.redeem(back["code"], "platform.crm", client_secret="crm-secret")).json()
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    assert (await browser.decode(answer["access_token"])).claims["aud"] == "platform.crm"
    assert (await browser.get("/oidc/userinfo", headers=headers)).json()["preferred_username"] == "admin"
    assert (await browser.put("/oidc/accounts/nora", json=KEPT, headers=headers)).status_code == 403


async def test_a_temporary_password_is_good_for_choosing_another(browser, other_browser, engine):
    headers = await service(browser, engine)
    sub = (await browser.put("/oidc/accounts/nora", json=KEPT, headers=headers)).json()["sub"]
    typed = {"username": "nora", "password": "nora-for-now"}
    assert "temporary" in (await browser.password(*typed.values())).json()["error_description"]
    page = await browser.submit(await browser.authorize(), **typed)
    assert "Choose a password" in page.text
    old = await other_browser.submit(await other_browser.authorize(), **typed)
    for new, confirmed in (("short", "short"), ("nora-chose-this", "nora-chose-that")):
        page = await browser.submit(page, **{"password-new": new, "password-confirm": confirmed})
        assert (page.status_code, "Choose a password" in page.text) == (400, True)
    chosen = {"password-new": "nora-chose-this", "password-confirm": "nora-chose-this"}
    back = await browser.submit(page, **chosen)
    tokens = (await browser.redeem(httpx_code(back))).json()
    assert (await browser.decode(tokens["access_token"])).claims["sub"] == sub
    assert (await browser.password("nora", "nora-chose-this")).status_code == 200
    assert (await other_browser.submit(old, **chosen)).status_code == 400, "it is no longer temporary"
    await browser.put("/oidc/accounts/nora", json=KEPT | {"temporary_password": "another-for-now"}, headers=headers)
    assert (await other_browser.submit(old, **chosen)).status_code == 400, "it is another one by now"


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
    one_time = await dev_idp.issue_one_time(engine, "lead")
    pending = httpx_code(await browser.authorize())

    off = await other_browser.post("/oidc/accounts/lead/active", json={"active": False}, headers=headers)
    assert off.json()["active"] is False
    refused = [
        await browser.refresh(tokens["refresh_token"]),
        await browser.refresh(direct["refresh_token"], client_id="uplift-cli"),
        await browser.password(),
        await browser.redeem(pending),
        await browser.token(dev_idp.ONE_TIME, client_id="uplift-cli", one_time_token=one_time),
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
    sub = await dev_idp.ensure_account(engine, "lead", "other-secret", "demo", sub="other", display_name="Lena L.")
    assert sub == "lead-1"
    assert (await browser.password(password="other-secret")).json()["error"] == "invalid_grant"
    await browser.post("/oidc/accounts/lead/active", json={"active": True}, headers=await bearer(browser))
    assert (await browser.decode((await browser.password()).json()["id_token"])).claims["name"] == "Lena L."
    with pytest.raises(ValueError, match="lead-1"):
        await dev_idp.ensure_account(engine, "lena", "secret-secret", "demo", sub="lead-1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_loopback_is_allowed(host):
    dev_idp.refuse_beyond_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "", "example.org", "localhost.example.org"])
def test_listening_beyond_loopback_is_refused_with_the_cure(host):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1.*Keycloak"):
        dev_idp.refuse_beyond_loopback(host)


async def test_the_browsable_pages_need_nothing_from_elsewhere(browser):
    page = (await browser.get("/oidc/docs")).text
    assert "/oidc/static-offline-docs/swagger-ui-bundle.js" in page
    assert "https://" not in page
    assert (await browser.get("/oidc/static-offline-docs/swagger-ui-bundle.js")).status_code == 200


async def test_a_new_temporary_password_ends_every_session_with_and_without_a_browser(app, browser, other_browser):
    headers = await bearer(browser)
    tokens, direct = await browser.tokens(), (await browser.password()).json()
    sids = {(await browser.decode(each["access_token"])).claims["sid"] for each in (tokens, direct)}
    kept = {"tenant": "demo", "display_name": "Lena", "temporary_password": "another-secret"}
    assert (await other_browser.put("/oidc/accounts/lead", json=kept, headers=headers)).status_code == 200
    for client, each in (("portal", tokens), ("uplift-cli", direct)):
        assert (await browser.refresh(each["refresh_token"], client)).json()["error"] == "invalid_grant"
    assert "login_required" in (await browser.authorize(prompt="none")).headers["location"]
    told = {(await browser.decode(token)).claims["sid"] for _, token in app.state.told}
    assert told == sids
