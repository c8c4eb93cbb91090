"""Authorization code with PKCE: what comes out, and everything that must not."""

import asyncio
import warnings
from typing import Any

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.oidc.core.util import create_half_hash
from authlib.oidc.discovery import OpenIDProviderMetadata

ISSUER = "http://127.0.0.1:8080/oidc"
CALLBACK = "http://127.0.0.1:8080/callback"


async def test_discovery_is_complete_and_every_endpoint_answers(browser):
    metadata = (await browser.get("/oidc/.well-known/openid-configuration")).json()
    for endpoint in ("authorization", "token", "userinfo", "revocation", "end_session"):
        answer = await browser.get(metadata[f"{endpoint}_endpoint"])
        assert answer.status_code != 404, endpoint
    # Authlib wants https; everything else must satisfy its reading of the standard.
    OpenIDProviderMetadata({name: _https(value) for name, value in metadata.items()}).validate()
    keys = (await browser.get(metadata["jwks_uri"])).json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "n", "e", "kid", "use", "alg"}]


def _https(value):
    return value.replace("http://", "https://") if isinstance(value, str) else value


async def test_code_flow_gives_tokens_as_the_standards_write_them(browser, clock):
    back = await browser.log_in()
    assert (back["state"], back["iss"]) == ("s-1", ISSUER)
    answer = await browser.redeem(back["code"])
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 300, "openid profile")

    now = int(clock.now.timestamp())
    access = await browser.decode(tokens["access_token"])
    assert access.header["typ"] == "at+jwt"
    jti, sid = access.claims.pop("jti"), access.claims.pop("sid")
    assert jti
    assert access.claims == {
        "iss": ISSUER,
        "sub": "lead-1",
        "aud": "uplift",
        "azp": "portal",
        "client_id": "portal",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "tenant": "demo",
        "scope": "openid profile",
    }
    identity = await browser.decode(tokens["id_token"])
    at_hash = create_half_hash(tokens["access_token"], "RS256")
    assert at_hash is not None
    assert identity.header["typ"] == "JWT"
    assert identity.claims == {
        "iss": ISSUER,
        "sub": "lead-1",
        "aud": "portal",
        "azp": "portal",
        "iat": now,
        "exp": now + 300,
        "auth_time": now,
        "nonce": "n-1",
        "sid": sid,
        "at_hash": at_hash.decode(),
        "tenant": "demo",
        "preferred_username": "lead",
        "name": "Lena <Lead>",
    }


async def test_authlibs_own_client_runs_code_and_pkce(app):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Authlib announces that it will move from httpx to httpx2
        from authlib.integrations.httpx_client import AsyncOAuth2Client
    client: Any = AsyncOAuth2Client(  # Authlib has no types for what it inherits from httpx
        "portal",
        scope="openid profile",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        transport=httpx.ASGITransport(app),
    )
    async with client:
        verifier = generate_token(64)
        address, state = client.create_authorization_url(f"{ISSUER}/authorize", code_verifier=verifier, nonce="x")
        page = await client.request("GET", address, withhold_token=True)
        seal = page.text.split('name="seal" value="')[1].split('"')[0]
        form = {"seal": seal, "username": "lead", "password": "lead-secret"}
        back = await client.request("POST", f"{ISSUER}/login?{page.url.query.decode()}", data=form, withhold_token=True)
        token = await client.fetch_token(
            f"{ISSUER}/token",
            authorization_response=back.headers["location"],
            state=state,
            code_verifier=verifier,
            grant_type="authorization_code",
        )
        assert token["id_token"]
        person = await client.get(f"{ISSUER}/userinfo")
        assert person.json()["preferred_username"] == "lead"
        renewed = await client.refresh_token(f"{ISSUER}/token")
        assert renewed["refresh_token"] != token["refresh_token"]


async def test_a_confidential_client_may_do_without_pkce_but_not_without_its_secret(browser):
    back = await browser.log_in(client_id="wallboard", code_challenge=None, code_challenge_method=None)
    form = {"client_id": "wallboard", "code": back["code"], "redirect_uri": CALLBACK}
    for attempt in ({}, {"client_secret": "wrong"}):
        refused = await browser.token("authorization_code", **form, **attempt)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (await browser.token("authorization_code", **form, client_secret="wall-secret")).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"client_id": "nobody"}, {"redirect_uri": f"{CALLBACK}/evil"}, {"redirect_uri": None}]
)
async def test_unknown_client_or_redirect_uri_never_redirects(browser, changes):
    page = await browser.authorize(**changes)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert "not " in page.text


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_other_faults_go_back_to_the_client(browser, changes, error):
    back = returned_error(await browser.authorize(**changes))
    assert (back["error"], back["state"], back["iss"]) == (error, "s-1", ISSUER)


def returned_error(response: httpx.Response) -> httpx.QueryParams:
    assert response.status_code == 303, response.text
    return httpx.URL(response.headers["location"]).params


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": "v" * 10},
        {"code_verifier": ""},
        {"redirect_uri": f"{CALLBACK}/other"},
        {"redirect_uri": ""},
    ],
)
async def test_a_wrong_redemption_is_refused_and_uses_the_code_up(browser, changes):
    code = (await browser.log_in())["code"]
    refused = await browser.redeem(code, **changes)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await browser.redeem(code)).json()["error"] == "invalid_grant"


async def test_a_code_of_another_client_is_refused_and_stays_good(browser):
    code = (await browser.log_in())["code"]
    stolen = await browser.token(
        "authorization_code", auth=("wallboard", "wall-secret"), code=code, redirect_uri=CALLBACK
    )
    assert stolen.json()["error"] == "invalid_grant"
    assert (await browser.redeem(code)).status_code == 200


async def test_a_reused_code_revokes_what_it_gave(browser):
    code = (await browser.log_in())["code"]
    tokens = (await browser.redeem(code)).json()
    assert (await browser.redeem(code)).json()["error"] == "invalid_grant"
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_of_two_redeemers_at_once_one_gets_tokens(browser):
    code = (await browser.log_in())["code"]
    answers = await asyncio.gather(*(browser.redeem(code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]


async def test_an_expired_code_is_refused(browser, clock):
    code = (await browser.log_in())["code"]
    clock.pass_by(seconds=61)
    assert (await browser.redeem(code)).json() == {
        "error": "invalid_grant",
        "error_description": "The code has expired.",
    }


@pytest.mark.parametrize(
    "body, error",
    [
        ("grant_type=magic&client_id=portal", "unsupported_grant_type"),
        ("", "unsupported_grant_type"),
        ("grant_type=authorization_code&client_id=portal", "invalid_request"),
        ("grant_type=authorization_code&client_id=portal&code=a&code=b", "invalid_request"),
        ("grant_type=authorization_code&client_id=portal&code=a%00b", "invalid_request"),
        ("grant_type=authorization_code&client_id=portal&code=nonsense", "invalid_grant"),
        ("grant_type=client_credentials&client_id=portal", "unauthorized_client"),
        ("grant_type=authorization_code&client_id=nobody&code=a", "invalid_client"),
        ("grant_type=authorization_code&code=a", "invalid_client"),
    ],
)
async def test_malformed_token_requests(browser, body, error):
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await browser.post("/oidc/token", content=body, headers=form)
    assert (answer.json()["error"], answer.status_code) == (error, 401 if error == "invalid_client" else 400)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic /////w==", "Basic AGE6Yg==", "Bearer x"])
async def test_an_unreadable_client_header_is_a_refusal_not_a_crash(browser, header):
    form = {"grant_type": "client_credentials"}
    answer = await browser.post("/oidc/token", data=form, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_replayed_code_ends_also_the_access_tokens_it_gave(app, browser, clock):
    code = (await browser.log_in())["code"]
    tokens = (await browser.redeem(code)).json()
    clock.pass_by(minutes=5)
    await browser.refresh(tokens["refresh_token"])  # forgets what has expired
    assert (await browser.redeem(code)).json()["error_description"].startswith("The code was used before")
    told = [(await browser.decode(token)).claims for _, token in app.state.told]
    assert [each["sid"] for each in told] == [(await browser.decode(tokens["id_token"])).claims["sid"]]
    assert (await browser.authorize(prompt="none")).headers["location"].find("login_required") > 0


async def test_a_code_that_could_be_injected_is_not_given(browser):
    """RFC 9700 §2.1.1: PKCE, or the nonce of OpenID Connect for those who have a secret."""
    without = {"code_challenge": None, "code_challenge_method": None}
    refused = await browser.authorize("wallboard", nonce=None, **without)
    assert "error=invalid_request" in refused.headers["location"]
    assert (await browser.authorize("wallboard", **without)).status_code == 200
    assert (await browser.authorize("wallboard", nonce=None)).status_code == 200


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:8080/callback/", "http://127.0.0.1:8080/callback?x=1", "http://127.0.0.1:8080/Callback",
        "http://127.0.0.1:8081/callback", "http://localhost:8080/callback", "https://127.0.0.1:8080/callback",
        "http://127.0.0.1:8080/callback/../callback", "http://127.0.0.1:8080/%63allback", "http://127.0.0.1:8080/callback#",
        "http://127.0.0.1:8080@evil.example/callback", " http://127.0.0.1:8080/callback", "/callback", "",
    ],
)  # fmt: skip
async def test_redirect_uris_are_compared_letter_by_letter(browser, uri):
    answer = await browser.authorize(redirect_uri=uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
