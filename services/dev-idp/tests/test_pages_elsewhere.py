"""A page of another origin reads what it needs to sign people in, if a public client is at home there."""

import dev_idp
import pytest

HOME = "https://wallboard.acme.example"
STRANGER = "https://stranger.example"
READABLE = ["/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"]


@pytest.fixture
async def page(engine, app):
    """The client of a page at HOME; one with a secret is at home at STRANGER."""
    code = ["authorization_code", "refresh_token"]
    await dev_idp.ensure_client(engine, "acme.page", None, [f"{HOME}/callback"], "demo", code)
    await dev_idp.ensure_client(engine, "acme.server", "server-secret", [f"{STRANGER}/callback"], "demo", code)


@pytest.mark.parametrize("path", READABLE)
async def test_a_page_of_a_public_client_reads_the_answers(page, browser, path):
    for method in ("GET", "POST", "OPTIONS"):
        headers = {"Origin": HOME, "Access-Control-Request-Method": "POST"}
        answer = await browser.request(method, f"/oidc{path}", headers=headers)
        assert answer.headers["access-control-allow-origin"] == HOME, (method, answer.text)
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
        stranger = await browser.request(method, f"/oidc{path}", headers={**headers, "Origin": STRANGER})
        assert "access-control-allow-origin" not in stranger.headers, method
    preflight = await browser.options(f"/oidc{path}", headers=headers)
    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/authorize", "/logout", "/revoke", "/accounts", "/clients/acme.page"])
async def test_nothing_else_is_read_from_elsewhere(page, browser, path):
    headers = {"Origin": HOME, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "POST", "OPTIONS"):
        answer = await browser.request(method, f"/oidc{path}", headers=headers)
        assert "access-control-allow-origin" not in answer.headers, (method, answer.text)


async def test_a_page_redeems_its_code_from_elsewhere(page, browser):
    uri = f"{HOME}/callback"
    form = await browser.authorize("acme.page", redirect_uri=uri)
    back = await browser.submit(form, username="lead", password="lead-secret")
    code = dict(pair.split("=") for pair in back.headers["location"].partition("?")[2].split("&"))["code"]
    redeemed = await browser.post(
        "/oidc/token",
        data={
            "grant_type": "authorization_code",
            "client_id": "acme.page",
            "redirect_uri": uri,
            "code_verifier": "v" * 64,
            "code": code,
        },
        headers={"Origin": HOME},
    )
    assert (redeemed.status_code, redeemed.headers["access-control-allow-origin"]) == (200, HOME)
