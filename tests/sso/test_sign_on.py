"""One login opens everything, and its end closes everything; at Keycloak and at the embedded provider alike.

All that needs Keycloak is in this one file, so that one worker starts one Keycloak.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from contracts.directory import Login, SessionEnded
from identity.actions import ensure_platform
from identity.actions.recording import record_people_changes
from identity.actions.tenants import add_tenant, reserve_slug
from identity.clients import keycloak as kc
from identity.model.specs import TenantSpec
from identity.service import service as identity
from testkit import Cluster, TestIssuer, person
from testkit.fixtures.keycloak import RunningKeycloak
from testkit.harness import harness

from tests.sso import issuers
from tests.sso.bad_tokens import BAD_TOKENS
from tests.sso.browser import PLAIN, Browser
from tests.sso.conftest import TYPED
from tests.sso.environments import PASSWORD, TENANT, EmbeddedEnvironment, KeycloakEnvironment, SsoEnvironment, wait_for
from tests.sso.issuers import Issuer
from tests.sso.own_provider import OwnProvider
from tests.sso.relying_party import Listener, RelyingParty
from tests.sso.service_provider import ServiceProvider, xmlsec

ME = "/api/identity/v1/me"
RP_CALLBACK = "http://127.0.0.1:9/callback"
WITHIN_SECONDS = 2.0
"""How soon after a logout the session's tokens are refused everywhere; 0.3 to 0.7 s on two busy cores."""


def refusals(world: SsoEnvironment, token: str) -> dict[str, tuple[int, str]]:
    """Status and problem of an access token at each service."""
    paths = {"identity": ME, "forms": "/api/forms/v1/forms", "training": "/api/training/v1/assignments"}
    found = {name: world.request(token, "GET", paths[name]) for name in world.services}
    return {
        name: (answer.status_code, answer.json().get("type", "").rpartition(":")[2] if answer.is_error else "")
        for name, answer in found.items()
    }


def refused_everywhere(world: SsoEnvironment, token: str, status: int, problem: str) -> float:
    """Seconds until every service refuses the token for this reason."""
    began = time.monotonic()
    wait_for(lambda: set(refusals(world, token).values()) == {(status, problem)}, seconds=30)
    return time.monotonic() - began


def test_one_login_opens_a_second_client_without_a_second_password(world: SsoEnvironment, browser: Browser) -> None:
    crm = world.relying_party("crm", RP_CALLBACK)
    first = world.portal.sign_in(browser, **TYPED)
    assert browser.typed == 1
    me = world.call(first["access_token"], "GET", ME)
    assert (me["person"]["slug"], me["tenant"]["slug"]) == ("ada", TENANT)
    second = crm.sign_in(browser)
    assert browser.typed == 1
    assert second["claims"]["sub"] == first["claims"]["sub"]
    assert second["claims"]["sid"] == first["claims"]["sid"]


def test_refresh_tokens_are_good_once(world: SsoEnvironment, browser: Browser) -> None:
    portal = world.portal
    tokens = portal.sign_in(browser, **TYPED)
    fresh = portal.refresh(tokens["refresh_token"])
    assert fresh.is_success, fresh.text
    assert world.request(fresh.json()["access_token"], "GET", ME).status_code == 200
    assert portal.refresh(tokens["refresh_token"]).status_code == 400


def test_logging_out_ends_the_session_everywhere_within_two_seconds(
    world: SsoEnvironment, browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    portal = world.portal
    tokens, other = portal.sign_in(browser, **TYPED), portal.sign_in(new_browser(), **TYPED)
    assert {status for status, _ in refusals(world, tokens["access_token"]).values()} == {200}
    portal.sign_out(browser, tokens["id_token"], target=f"{world.url}/")
    took = refused_everywhere(world, tokens["access_token"], 401, "session-ended")
    print(f"{world.name}: refused everywhere {took:.2f} s after the logout")
    assert took <= WITHIN_SECONDS
    assert portal.refresh(tokens["refresh_token"]).status_code == 400
    assert world.request(other["access_token"], "GET", ME).status_code == 200, "another session goes on"
    with pytest.raises(AssertionError, match="a password is asked for"):
        portal.sign_in(browser)


def test_a_subsystem_is_told_when_a_session_ends(world: SsoEnvironment, browser: Browser) -> None:
    with Listener() as heard:
        spec = {"protocol": "oidc", "redirect_uris": [RP_CALLBACK], "back_channel_logout_uri": f"{heard.url}/logout"}
        made = world.register_application("roster", spec)
        roster = RelyingParty(world.issuer, made["client_id"], RP_CALLBACK, made["client_secret"])
        tokens = world.portal.sign_in(browser, **TYPED)
        assert roster.sign_in(browser)["claims"]["sid"] == tokens["claims"]["sid"]
        world.portal.sign_out(browser, tokens["id_token"], target=f"{world.url}/")
        sent = wait_for(lambda: heard.forms, seconds=WITHIN_SECONDS)
        said = roster.checked(sent[0]["logout_token"])
    assert said["sid"] == tokens["claims"]["sid"]
    assert "http://schemas.openid.net/event/backchannel-logout" in said["events"]
    gone = f"/api/identity/v1/tenants/{TENANT}/applications/roster"
    assert world.request(world.admin(), "DELETE", gone).status_code == 202
    wait_for(lambda: world.request(world.admin(), "GET", gone).status_code == 404)


@pytest.mark.parametrize("bad", ["nonsense", "an access token", "an ID token"])
def test_only_the_issuer_ends_sessions(world: SsoEnvironment, browser: Browser, bad: str) -> None:
    tokens = world.portal.sign_in(browser, **TYPED)
    sent = {"nonsense": "x.y.z", "an access token": tokens["access_token"], "an ID token": tokens["id_token"]}[bad]
    answer = world.request(None, "POST", "/api/identity/v1/back-channel-logout", data={"logout_token": sent})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.request(tokens["access_token"], "GET", ME).status_code == 200


def test_a_real_browser_signs_in_and_out_on_the_page(world: SsoEnvironment) -> None:
    from playwright.sync_api import expect, sync_playwright

    options = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{world.url}/")
        page.get_by_role("button", name="Sign in").click()
        page.locator("#username").fill("ada")
        if world.name == "keycloak":  # asks first who one is
            page.locator("#username").press("Enter")
        page.locator("#password").fill(PASSWORD)
        page.locator("#password").press("Enter")
        expect(page.locator("#who")).to_have_text("Ada Abel at Acme (agent)")
        assert "code=" not in page.url
        page.reload()
        expect(page.locator("#who")).to_have_text("Ada Abel at Acme (agent)")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(page.locator("#who")).to_have_text("You are not signed in.")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#username")).to_be_visible()
        chromium.close()
        assert faults == []


def metadata_of(application: dict[str, Any]) -> str:
    return httpx.get(application["addresses"]["metadata"], timeout=20, verify=PLAIN).raise_for_status().text


def test_a_saml_subsystem_opens_without_a_second_password(
    keycloak_world: KeycloakEnvironment, browser: Browser
) -> None:
    xmlsec()
    world, acs = keycloak_world, "http://127.0.0.1:9/acs"
    entity, role = (
        "urn:example:connect:acme",
        "arn:aws:iam::123456789012:role/c,arn:aws:iam::123456789012:saml-provider/k",
    )
    spec = {
        "protocol": "saml", "entity_id": entity, "acs_url": acs, "audiences": ["urn:amazon:webservices"],
        "attributes": [
            {"name": "https://aws.amazon.com/SAML/Attributes/RoleSessionName", "source": "username"},
            {"name": "https://aws.amazon.com/SAML/Attributes/Role", "value": role},
        ],
    }  # fmt: skip
    made = world.register_application("connect", spec)
    subsystem = ServiceProvider(entity, acs, metadata_of(made))
    world.portal.sign_in(browser, **TYPED)
    for response in (subsystem.sign_in(browser), subsystem.start_at(browser, made["addresses"]["start"])):
        said = response.get_identity()
        assert said["https://aws.amazon.com/SAML/Attributes/RoleSessionName"] == ["ada"]
        assert said["https://aws.amazon.com/SAML/Attributes/Role"] == [role]
        restriction = response.assertion.conditions.audience_restriction[0]
        assert {each.text for each in restriction.audience} == {entity, "urn:amazon:webservices"}
    assert browser.typed == 1


def test_people_of_another_tenant_do_not_get_into_a_tenants_applications(
    world: SsoEnvironment, browser: Browser
) -> None:
    crm = world.relying_party("crm", RP_CALLBACK)
    world.add_tenant("zeta")
    first = world.add_person("zeta", {"slug": "zoe", "display_name": "Zoe Zander"}, "zoe")
    signed_in = world.portal.sign_in(browser, username="zoe", password=first, new_password=PASSWORD)
    assert world.call(signed_in["access_token"], "GET", ME)["tenant"]["slug"] == "zeta"
    assert "belongs to another organization" in crm.refused(browser)
    theirs = world.request(signed_in["access_token"], "GET", f"/api/identity/v1/tenants/{TENANT}/applications/crm")
    assert theirs.status_code == 403


def test_a_subsystems_token_is_none_of_ours(world: SsoEnvironment, browser: Browser) -> None:
    tokens = world.relying_party("crm", RP_CALLBACK).sign_in(browser, **TYPED)
    answer = world.request(tokens["access_token"], "GET", ME)
    assert (answer.status_code, "aud" in answer.json()["detail"]) == (401, True)


def test_a_public_application_signs_people_in_without_a_secret(world: SsoEnvironment, browser: Browser) -> None:
    spec = {"protocol": "oidc", "public": True, "redirect_uris": [RP_CALLBACK]}
    made = world.register_application("wallboard", spec)
    assert made["client_secret"] is None
    assert made["addresses"]["discovery"] == f"{world.issuer}/.well-known/openid-configuration"
    wallboard = RelyingParty(world.issuer, made["client_id"], RP_CALLBACK, scope="openid profile email")
    tokens = wallboard.sign_in(browser, **TYPED)
    assert tokens["claims"]["email"] == "ada@example.org"
    assert wallboard.refresh(tokens["refresh_token"]).is_success
    path = f"/api/identity/v1/tenants/{TENANT}/applications/wallboard"
    assert world.request(world.admin(), "DELETE", path).status_code == 202
    wait_for(lambda: world.request(world.admin(), "GET", path).status_code == 404)
    with pytest.raises(AssertionError):
        wallboard.sign_in(browser)


def test_a_temporary_password_is_told_once_and_changed_at_the_next_login(
    world: SsoEnvironment, new_browser: Callable[[], Browser]
) -> None:
    where = {"params": {"tenant": TENANT}}
    first = world.add_person(TENANT, {"slug": "tom", "display_name": "Tom Thal"}, "tom")
    world.portal.sign_in(new_browser(), username="tom", password=first, new_password=PASSWORD)
    world.portal.sign_in(new_browser(), username="tom", password=PASSWORD)
    account, spec = "/api/identity/v1/people/tom/account", {"username": "tom"}
    again = world.call(world.admin(), "POST", account, json=spec, **where)
    assert again["temporary_password"] is None
    asked = world.call(world.admin(), "POST", account, json=spec, params={"tenant": TENANT, "new_password": True})
    second = asked["temporary_password"]
    assert world.wait_until_applied(account, **where)["temporary_password"] is None
    world.portal.sign_in(new_browser(), username="tom", password=second, new_password=f"{PASSWORD}-2")
    world.portal.sign_in(new_browser(), username="tom", password=f"{PASSWORD}-2")


def test_a_username_of_another_tenant_is_taken(world: SsoEnvironment) -> None:
    world.add_tenant("theta")
    where = {"params": {"tenant": "theta"}}
    spec = {"slug": "other-ada", "display_name": "Ada Other"}
    world.call(world.admin(), "POST", "/api/identity/v1/people", json=spec, **where)
    account = "/api/identity/v1/people/other-ada/account"
    answer = world.request(world.admin(), "POST", account, json={"username": "ada"}, **where)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "username-taken")
    assert world.request(world.admin(), "GET", account, **where).status_code == 404


def test_a_colleagues_account_is_not_taken_by_its_username(
    world: SsoEnvironment, new_browser: Callable[[], Browser]
) -> None:
    people, where = "/api/identity/v1/people", {"params": {"tenant": TENANT}}
    first = world.add_person(
        TENANT, {"slug": "cat", "display_name": "Cat Cole", "email": "cat@example.org"}, "cat@acme.example"
    )
    world.portal.sign_in(new_browser(), username="cat@acme.example", password=first, new_password=PASSWORD)
    world.call(world.admin(), "POST", people, json={"slug": "eve", "display_name": "Eve Ell"}, **where)
    again = {"params": {"tenant": TENANT, "new_password": True}}
    tries = [
        {"username": "cat@acme.example"}, {"username": "cat@example.org"},
        {"username": "eve", "email": "cat@example.org"}, {"username": "eve", "email": "CAT@acme.example"},
        {"username": "cat@acme.example", "existing": True},
    ]  # fmt: skip
    for spec in tries:
        answer = world.request(world.admin(), "POST", f"{people}/eve/account", json=spec, **again)
        assert answer.status_code == 409, (spec, answer.text)
    # Also when the directory has forgotten by what cat signs in.
    world.call(world.admin(), "PATCH", f"{people}/cat", json={"logins": []}, **where)
    answer = world.request(
        world.admin(), "POST", f"{people}/eve/account", json={"username": "cat@acme.example"}, **again
    )
    assert answer.status_code == 409, answer.text
    world.call(world.admin(), "POST", f"{people}/cat/account", json={"username": "cat@acme.example"}, **where)
    world.wait_until_applied(f"{people}/cat/account", **where)
    signed_in = world.portal.sign_in(new_browser(), username="cat@acme.example", password=PASSWORD)
    assert world.call(signed_in["access_token"], "GET", ME)["person"]["slug"] == "cat"
    sub = signed_in["claims"]["sub"]
    taken = world.request(world.admin(), "PATCH", f"{people}/eve", json={"logins": [sub]}, **where)
    assert taken.status_code == 422
    machine = {"protocol": "machine", "person": "cat"}
    answer = world.request(world.admin(), "PUT", f"/api/identity/v1/tenants/{TENANT}/applications/bot", json=machine)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "not-a-machine")


def test_an_account_that_identity_did_not_make_is_still_its_persons(world: SsoEnvironment) -> None:
    """The platform admin's was made when the installation was."""
    name = "platform-admin" if world.name == "keycloak" else "platform"
    people = "/api/identity/v1/people"
    world.call(world.admin(), "POST", people, json={"slug": "mallory", "display_name": "Mallory"})
    again = {"params": {"new_password": True}}
    answer = world.request(world.admin(), "POST", f"{people}/mallory/account", json={"username": name}, **again)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "username-taken")


def test_who_guesses_at_keycloak_is_turned_away_for_a_while(
    keycloak_world: KeycloakEnvironment, new_browser: Callable[[], Browser]
) -> None:
    world = keycloak_world
    first = world.add_person(TENANT, {"slug": "gus", "display_name": "Gus Grey"}, "gus")
    world.portal.sign_in(new_browser(), username="gus", password=first, new_password=PASSWORD)
    with pytest.raises(AssertionError):
        world.portal.sign_in(new_browser(), username="gus", password="only-a-guess")
    with pytest.raises(AssertionError):
        world.portal.sign_in(new_browser(), username="gus", password=PASSWORD)
    world.portal.sign_in(new_browser(), **TYPED)  # nobody else
    world.unlock("gus")
    world.portal.sign_in(new_browser(), username="gus", password=PASSWORD)


def test_a_new_password_ends_what_the_old_one_opened(world: SsoEnvironment, browser: Browser) -> None:
    first = world.add_person(TENANT, {"slug": "pat", "display_name": "Pat Port"}, "pat")
    tokens = world.portal.sign_in(browser, username="pat", password=first, new_password=PASSWORD)
    assert {status for status, _ in refusals(world, tokens["access_token"]).values()} == {200}
    path, spec = "/api/identity/v1/people/pat/account", {"username": "pat"}
    world.call(world.admin(), "POST", path, json=spec, params={"tenant": TENANT, "new_password": True})
    refused_everywhere(world, tokens["access_token"], 401, "session-ended")
    assert world.portal.refresh(tokens["refresh_token"]).status_code == 400
    with pytest.raises(AssertionError, match="a password is asked for"):
        world.portal.sign_in(browser)


def test_the_embedded_provider_says_what_needs_keycloak(embedded_world: EmbeddedEnvironment) -> None:
    tenant, at_home = f"/api/identity/v1/tenants/{TENANT}", "http://127.0.0.1:9"
    saml = {"protocol": "saml", "entity_id": "urn:example:acme", "acs_url": f"{at_home}/acs"}
    own = {
        "protocol": "oidc", "issuer": at_home, "authorization_url": f"{at_home}/authorize",
        "token_url": f"{at_home}/token", "jwks_url": f"{at_home}/jwks", "client_id": "uplift",
    }  # fmt: skip
    for path, spec, what in (("applications/plan", saml, "SAML 2.0"), ("identity-provider", own, "own provider")):
        answer = embedded_world.request(embedded_world.admin(), "PUT", f"{tenant}/{path}", json=spec)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (409, "urn:uplift:problem:needs-keycloak")
        assert what in problem["detail"]
        assert "`make stack`" in problem["detail"]
        assert embedded_world.request(embedded_world.admin(), "GET", f"{tenant}/{path}").status_code == 404


def test_the_longest_names_make_an_application(world: SsoEnvironment) -> None:
    tenant, slug = "t" * 63, "a" * 63
    world.add_tenant(tenant)
    made = world.register_application(slug, {"protocol": "oidc", "redirect_uris": [RP_CALLBACK]}, tenant=tenant)
    assert made["client_id"] == f"{tenant}.{slug}"


def test_a_machine_signs_on_by_client_credentials(world: SsoEnvironment) -> None:
    person = {"slug": "dialler", "display_name": "Dialler", "kind": "machine", "roles": [{"role": "integration"}]}
    world.call(world.admin(), "POST", "/api/identity/v1/people", json=person, params={"tenant": TENANT})
    made = world.register_application("dialler", {"protocol": "machine", "person": "dialler"})
    again = world.register_application("dialler", {"protocol": "machine", "person": "dialler"})
    assert made["client_secret"], made
    assert again["client_secret"] is None, "it is told once"

    def token(secret: str) -> Any:
        form = {"grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": secret}
        return httpx.post(world.portal.metadata["token_endpoint"], data=form, timeout=20, verify=PLAIN)

    me = world.call(token(made["client_secret"]).json()["access_token"], "GET", ME)
    assert (me["person"]["slug"], [each["role"] for each in me["roles"]]) == ("dialler", ["integration"])
    gone = f"/api/identity/v1/tenants/{TENANT}/applications/dialler"
    assert world.request(world.admin(), "DELETE", gone).status_code == 202
    wait_for(lambda: world.request(world.admin(), "GET", gone).status_code == 404)
    assert token(made["client_secret"]).status_code == 401


def test_two_organizations_need_a_choice(world: SsoEnvironment, browser: Browser) -> None:
    world.add_tenant("beta")
    where = {"params": {"tenant": "beta"}}
    world.call(world.admin(), "POST", "/api/identity/v1/people", json={"slug": "ada-b", "display_name": "Ada"}, **where)
    account = "/api/identity/v1/people/ada-b/account"
    world.call(world.admin(), "POST", account, json={"username": "ada", "existing": True}, **where)
    world.wait_until_applied(account, **where)
    portal = world.portal
    portal.scope = "openid organization:*"
    tokens = portal.sign_in(browser, **TYPED)
    answer = world.request(tokens["access_token"], "GET", ME)
    assert answer.status_code == 401
    assert "organization:<tenant>" in answer.json()["detail"]
    for tenant, slug in (("beta", "ada-b"), (TENANT, "ada")):
        portal.scope = f"openid organization:{tenant}"
        me = world.call(portal.sign_in(browser)["access_token"], "GET", ME)
        assert (me["tenant"]["slug"], me["person"]["slug"]) == (tenant, slug)
    world.call(world.admin(), "DELETE", account, **where)
    world.wait_until_applied(account, **where)


def test_closing_an_account_ends_its_sessions_and_switching_a_person_off_closes_it(
    world: SsoEnvironment, browser: Browser
) -> None:
    people = "/api/identity/v1/people"
    first = world.add_person(TENANT, {"slug": "ben", "display_name": "Ben Berg"}, "ben")
    tokens = world.portal.sign_in(browser, username="ben", password=first, new_password=PASSWORD)
    assert {status for status, _ in refusals(world, tokens["access_token"]).values()} == {200}
    where = {"params": {"tenant": TENANT}}
    closed = world.call(world.admin(), "DELETE", f"{people}/ben/account", **where)
    assert closed["open"] is False
    took = refused_everywhere(world, tokens["access_token"], 401, "session-ended")
    print(f"{world.name}: refused everywhere {took:.2f} s after the account was closed")
    assert world.portal.refresh(tokens["refresh_token"]).status_code == 400
    world.call(world.admin(), "POST", f"{people}/ben/account", json={"username": "ben"}, **where)
    world.wait_until_applied(f"{people}/ben/account", **where)
    again = world.portal.sign_in(browser, username="ben", password=PASSWORD)
    world.call(world.admin(), "PATCH", f"{people}/ben", json={"active": False}, **where)
    wait_for(lambda: {status for status, _ in refusals(world, again["access_token"]).values()} <= {401, 403})
    world.wait_until_applied(f"{people}/ben/account", **where)
    assert world.portal.refresh(again["refresh_token"]).status_code == 400


@pytest.fixture
def own_provider(keycloak_world: KeycloakEnvironment) -> Iterator[OwnProvider]:
    """Of tenant `acme`, with eva and stan in it. Uplift knows nobody of them yet."""
    world, own = keycloak_world, OwnProvider(keycloak_world.keycloak, TENANT)
    put = world.call(world.admin(), "PUT", own.path, json=own.spec())
    assert own.secret not in str(put)
    own.prepare(put["redirect_uri"], "eva", "stan")
    world.wait_until_applied(own.path)
    yield own
    assert world.request(world.admin(), "DELETE", own.path).status_code == 202
    wait_for(lambda: world.request(world.admin(), "GET", own.path).status_code == 404)


def test_people_sign_in_at_their_tenants_own_provider(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    world, at_home = keycloak_world, own_provider.signs_in("eva")
    eva = {"slug": "eva", "display_name": "Eva Esser", "email": "eva@example.org", "roles": [{"role": "agent"}]}
    first = world.add_person(TENANT, eva, "eva")
    portal, browser = world.portal, new_browser()
    portal.asks = own_provider.hint
    tokens = portal.sign_in(browser, **at_home, link_password=first, new_password=PASSWORD)
    assert (browser.typed, browser.linked) == (1, 1)
    me = world.call(tokens["access_token"], "GET", ME)
    assert (me["person"]["slug"], [each["role"] for each in me["roles"]]) == ("eva", ["agent"])
    known = world.call(world.admin(), "GET", "/api/identity/v1/people/eva", params={"tenant": TENANT})
    assert known["logins"] == [{"iss": world.issuer, "sub": tokens["claims"]["sub"]}]

    again = portal.sign_in(browser := new_browser(), **at_home)
    assert (browser.typed, browser.linked) == (1, 0)
    assert again["claims"]["sub"] == tokens["claims"]["sub"]
    assert world.request(again["access_token"], "GET", ME).status_code == 200
    crm = world.relying_party("crm", RP_CALLBACK)
    assert crm.sign_in(browser)["claims"]["sub"] == tokens["claims"]["sub"]
    crm.asks = own_provider.hint
    assert crm.sign_in(new_browser(), **at_home)["claims"]["sub"] == tokens["claims"]["sub"]

    account, where = "/api/identity/v1/people/eva/account", {"params": {"tenant": TENANT}}
    world.call(world.admin(), "DELETE", account, **where)
    world.wait_until_applied(account, **where)
    refused_everywhere(world, again["access_token"], 401, "session-ended")
    with pytest.raises(AssertionError, match="Account is disabled"):
        portal.sign_in(new_browser(), **at_home)


def test_people_of_a_tenants_own_provider_open_its_saml_subsystems(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    xmlsec()
    world, at_home = keycloak_world, own_provider.signs_in("ulla")
    own_provider.people("ulla")
    ulla = {"slug": "ulla", "display_name": "Ulla Uhl", "email": "ulla@example.org"}
    portal, first = world.portal, world.add_person(TENANT, ulla, "ulla")
    portal.asks = own_provider.hint
    portal.sign_in(new_browser(), **at_home, link_password=first, new_password=PASSWORD)
    spec = {
        "protocol": "saml", "entity_id": "urn:example:planning:acme", "acs_url": "http://127.0.0.1:9/acs",
        "attributes": [{"name": "login", "source": "username"}],
    }  # fmt: skip
    planning = ServiceProvider(
        spec["entity_id"], spec["acs_url"], metadata_of(world.register_application("planning", spec))
    )
    said = planning.sign_in(new_browser(), asks=own_provider.hint, **at_home).get_identity()
    assert said["login"] == ["ulla"]


def test_a_stranger_of_a_tenants_own_provider_gets_nothing_and_takes_no_name(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    world, at_home = keycloak_world, own_provider.signs_in("stan")
    for entrance in (world.portal, world.relying_party("crm", RP_CALLBACK)):
        entrance.asks = own_provider.hint
        with pytest.raises(AssertionError, match="User stan authenticated with identity provider .* does not exist"):
            entrance.sign_in(new_browser(), **at_home)
    stan = {"slug": "stan", "display_name": "Stan Stern", "email": "stan@example.org"}
    first = world.add_person(TENANT, stan, "stan")
    world.portal.sign_in(new_browser(), username="stan", password=first, new_password=PASSWORD)


def test_a_tenants_own_provider_opens_nothing_of_another_tenant(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    """Neither its people the other's applications, nor what it says the accounts of the other's people."""
    world = keycloak_world
    world.add_tenant("eta")
    desk = world.relying_party("desk", RP_CALLBACK, tenant="eta")
    desk.asks = own_provider.hint
    ina = {"slug": "ina", "display_name": "Ina Imhof", "email": "ina@example.org"}
    first = world.add_person(TENANT, ina, "ina")
    own_provider.people("ina", "hugo")
    portal = world.portal
    portal.asks = own_provider.hint
    signed_in = new_browser()
    portal.sign_in(signed_in, **own_provider.signs_in("ina"), link_password=first, new_password=PASSWORD)
    with pytest.raises(AssertionError, match="belongs to another organization"):
        desk.sign_in(new_browser(), **own_provider.signs_in("ina"))
    with pytest.raises(AssertionError, match="belongs to another organization"):
        desk.sign_in(signed_in)
    account, where = "/api/identity/v1/people/ina/account", {"params": {"tenant": "eta"}}
    world.call(world.admin(), "POST", "/api/identity/v1/people", json={**ina, "email": None}, **where)
    world.call(world.admin(), "POST", account, json={"username": "ina", "existing": True}, **where)
    world.wait_until_applied(account, **where)
    desk.asks = {}
    with pytest.raises(AssertionError, match="a password is asked for"):
        desk.sign_in(signed_in)
    world.unlock("ina")
    desk.sign_in(signed_in, username="ina", password=PASSWORD)
    hugo = {"slug": "hugo", "display_name": "Hugo Hahn", "email": "hugo@example.org"}
    theirs = world.add_person("eta", hugo, "hugo")
    with pytest.raises(AssertionError, match="belongs to another organization"):
        portal.sign_in(new_browser(), **own_provider.signs_in("hugo"), link_password=theirs)


def test_a_tenants_own_provider_is_not_believed_about_somebody_of_two_tenants(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    """Whoever runs it would be them in the other tenant too. No link is made, and none that is there opens anything."""
    world, portal, acme = keycloak_world, keycloak_world.portal, {"params": {"tenant": TENANT}}
    world.add_tenant("iota")
    mia = {"slug": "mia", "display_name": "Mia Meer", "email": "mia@example.org", "roles": [{"role": "tenant_admin"}]}
    first = world.add_person("iota", mia, "mia")
    portal.sign_in(new_browser(), username="mia", password=first, new_password=PASSWORD)
    (home,) = own_provider.people("mia")
    account = "/api/identity/v1/people/mia/account"
    world.call(world.admin(), "POST", "/api/identity/v1/people", json={**mia, "email": None}, **acme)
    world.call(world.admin(), "POST", account, json={"username": "mia", "existing": True}, **acme)
    world.wait_until_applied(account, **acme)

    def refused(reason: str, scope: str = "openid organization", **typed: str) -> None:
        portal.scope, portal.asks = scope, own_provider.hint
        world.unlock("mia")
        with pytest.raises(AssertionError, match=reason):
            portal.sign_in(new_browser(), **own_provider.signs_in("mia"), **typed)
        portal.scope, portal.asks = "openid organization", {}
        world.unlock("mia")

    async def linked(connection: kc.Keycloak) -> None:
        found = await kc.find_account(connection, "mia")
        assert found is not None
        await connection.admin.a_add_user_social_login(found["id"], own_provider.alias, home, "mia")

    async def links(connection: kc.Keycloak) -> list[str]:
        found = await kc.find_account(connection, "mia")
        assert found is not None
        return [each["userId"] for each in await connection.admin.a_get_user_social_logins(found["id"])]

    refused("several organizations", link_password=PASSWORD)
    assert world.run_as_keycloak_admin(links) == [], "who does not get through the linking is not linked"
    world.run_as_keycloak_admin(linked)
    for scope in ("openid organization", "openid organization:iota", "openid organization:*"):
        refused("several organizations", scope)
    world.call(world.admin(), "DELETE", account, **acme)
    world.wait_until_applied(account, **acme)
    assert world.run_as_keycloak_admin(links) == []
    world.run_as_keycloak_admin(linked)
    refused("belongs to another organization")
    me = world.call(portal.sign_in(new_browser(), username="mia", password=PASSWORD)["access_token"], "GET", ME)
    assert (me["tenant"]["slug"], [each["role"] for each in me["roles"]]) == ("iota", ["tenant_admin"])


def test_who_is_let_into_a_second_tenant_signs_in_with_the_password_until_that_is_over(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider, new_browser: Callable[[], Browser]
) -> None:
    world, theirs = keycloak_world, {"params": {"tenant": "kappa"}}
    world.add_tenant("kappa")
    olga = {"slug": "olga", "display_name": "Olga Orth", "email": "olga@example.org"}
    first, at_home, portal = world.add_person(TENANT, olga, "olga"), own_provider.signs_in("olga"), world.portal
    own_provider.people("olga")
    portal.asks = own_provider.hint
    portal.sign_in(new_browser(), **at_home, link_password=first, new_password=PASSWORD)
    tokens = portal.sign_in(new_browser(), **at_home)
    account = "/api/identity/v1/people/olga/account"
    world.call(world.admin(), "POST", "/api/identity/v1/people", json={**olga, "email": None}, **theirs)
    world.call(world.admin(), "POST", account, json={"username": "olga", "existing": True}, **theirs)
    world.wait_until_applied(account, **theirs)
    refused_everywhere(world, tokens["access_token"], 401, "session-ended")
    with pytest.raises(AssertionError, match="several organizations"):
        portal.sign_in(new_browser(), **at_home)
    world.unlock("olga")
    portal.asks, typed = {}, {"username": "olga", "password": PASSWORD}
    for tenant in (TENANT, "kappa"):
        portal.scope = f"openid organization:{tenant}"
        me = world.call(portal.sign_in(new_browser(), **typed)["access_token"], "GET", ME)
        assert me["tenant"]["slug"] == tenant
    world.call(world.admin(), "DELETE", account, **theirs)
    world.wait_until_applied(account, **theirs)
    portal.asks = own_provider.hint
    assert portal.sign_in(new_browser(), **at_home)["claims"]["sub"] == tokens["claims"]["sub"]


def test_what_was_put_before_is_moved_to_the_flows_of_today(
    keycloak_world: KeycloakEnvironment, own_provider: OwnProvider
) -> None:
    """Nothing of the old is left: neither the flows, nor the mapper that made everybody a member."""
    world, alias = keycloak_world, own_provider.alias
    world.relying_party("crm", RP_CALLBACK)
    old = [f"tenant-{TENANT}", f"tenant-{TENANT}-linking", f"tenant {TENANT} arrival 000000000000"]

    async def bound(connection: kc.Keycloak) -> set[str]:
        provider = await connection.get(f"identity-provider/instances/{alias}")
        client = await connection.find_client(f"{TENANT}.crm")
        assert client is not None
        flows = {each["id"]: each["alias"] for each in await connection.get("authentication/flows")}
        gate = flows[client["authenticationFlowBindingOverrides"]["browser"]]
        return {gate, provider["firstBrokerLoginFlowAlias"], provider["postBrokerLoginFlowAlias"]}

    async def age(connection: kc.Keycloak) -> None:
        admin = connection.admin
        for each in old:
            body = {"alias": each, "providerId": "basic-flow", "topLevel": True, "builtIn": False}
            done = {"description": "Members of the organization only"}
            await admin.a_create_authentication_flow({**body, **done})
        ids = {each["alias"]: each["id"] for each in await connection.get("authentication/flows")}
        client = await connection.find_client(f"{TENANT}.crm")
        assert client is not None
        await admin.a_update_client(
            client["id"], {**client, "authenticationFlowBindingOverrides": {"browser": ids[old[0]]}}
        )
        provider = await connection.get(f"identity-provider/instances/{alias}")
        flows = {"firstBrokerLoginFlowAlias": old[1], "postBrokerLoginFlowAlias": old[2]}
        await admin.a_update_idp(alias, {**provider, **flows})
        mapper = {
            "name": "member", "identityProviderAlias": alias,
            "identityProviderMapper": "oidc-hardcoded-role-idp-mapper",
            "config": {"syncMode": "INHERIT", "role": f"member-of-{TENANT}"},
        }  # fmt: skip
        await admin.a_add_mapper_to_idp(alias, mapper)

    async def left(connection: kc.Keycloak) -> list[str]:
        flows = [each["alias"] for each in await connection.get("authentication/flows")]
        mappers = [each["name"] for each in await connection.admin.a_get_idp_mappers(alias)]
        return [each for each in flows if each in old] + mappers

    today = world.run_as_keycloak_admin(bound)
    world.run_as_keycloak_admin(age)
    assert world.run_as_keycloak_admin(bound) == set(old)
    world.relying_party("crm", RP_CALLBACK)
    world.call(world.admin(), "PUT", own_provider.path, json=own_provider.spec())
    world.wait_until_applied(own_provider.path)
    assert world.run_as_keycloak_admin(bound) == today
    assert world.run_as_keycloak_admin(left) == []


def test_what_keycloak_refuses_is_to_be_seen(keycloak_world: KeycloakEnvironment) -> None:
    world = keycloak_world
    path = f"/api/identity/v1/tenants/{TENANT}/applications/copy"
    spec = {"protocol": "saml", "entity_id": f"{TENANT}.crm", "acs_url": "http://127.0.0.1:9/acs"}
    world.relying_party("crm", RP_CALLBACK)
    world.call(world.admin(), "PUT", path, json=spec)
    found = wait_for(lambda: (seen := world.call(world.admin(), "GET", path))["state"] == "failed" and seen)
    assert "is taken" in found["error"]
    assert world.request(world.admin(), "DELETE", path).status_code == 202
    wait_for(lambda: world.request(world.admin(), "GET", path).status_code == 404)
    world.relying_party("crm", RP_CALLBACK)


def test_provisioning_again_changes_nothing_and_tells_what_somebody_changed_by_hand(
    keycloak_world: KeycloakEnvironment,
) -> None:
    world = keycloak_world
    again = world.provision()
    assert (again.made, again.differs, again.password, again.in_order) == ([], [], None, True)

    async def meddle(connection: kc.Keycloak) -> None:
        await connection.admin.a_update_realm(world.realm, {"bruteForceProtected": False})
        portal = await connection.find_client("portal")
        assert portal is not None
        await connection.admin.a_update_client(portal["id"], {**portal, "redirectUris": ["http://evil.test/*"]})

    world.run_as_keycloak_admin(meddle)
    told = world.provision()
    assert not told.in_order
    assert told.differs == [
        "realm: bruteForceProtected is 'false', not 'true'",
        f"client portal: redirectUris is ['http://evil.test/*'], not ['{world.url}/']",
    ]
    assert world.provision().differs == told.differs, "telling changes nothing"
    assert world.provision(repair=True).in_order
    assert world.provision().differs == []


@pytest.fixture
def opened_issuers(cluster: Cluster) -> dict[str, Callable[[], AbstractAsyncContextManager[Issuer]]]:
    return {"test": issuers.test_issuer, "embedded": lambda: issuers.embedded(cluster)}


async def refuses_every_bad_token(cluster: Cluster, opening: AbstractAsyncContextManager[Issuer]) -> None:
    async with opening as issuer, harness(identity, cluster, TestIssuer()) as made:
        made.running.context.verifier = issuer.verifier
        good, sub = issuer.tokens["access_token"], issuer.claims["sub"]
        people = [
            person(slug, active=slug != "off").model_copy(update={"logins": [Login(iss=issuer.iss, sub=login)]})
            for slug, login in (("ada", sub), ("off", "off"), ("gone", "gone"))
        ]
        async with made.context.sessions.begin(["platform"], now=made.now) as session:
            await ensure_platform(session, login=Login(iss=issuer.iss, sub="root"))
            await reserve_slug(session, TENANT)
        async with made.context.sessions.begin([TENANT], now=made.now) as session:
            await add_tenant(session, TenantSpec(slug=TENANT, name="Acme"), issuer=issuer.iss)
            await record_people_changes(session, {}, people)
        await made.apply_directory(TENANT, people=people)
        await made.apply_directory("beta")
        now = datetime.now(UTC)
        ended = {"iss": issuer.iss, "ended_at": now, "until": now + timedelta(days=1)}
        over = [SessionEnded(sid="ended", sub=sub, **ended), SessionEnded(sub="gone", **ended)]
        await made.deliver(*over, tenant="platform")
        for _ in range(2):
            answer = await made.client(good).get("/me", headers={"x-tenant": "beta", "x-organization": "beta"})
            assert (answer.status_code, answer.json()["tenant"]["slug"]) == (200, TENANT), answer.text
        wrong = {}
        for name, (make, status, reason) in BAD_TOKENS.items():
            answer = await made.client(make(issuer)).get("/me")
            problem, told = answer.json(), answer.headers.get("www-authenticate", "")
            whole = f"{problem.get('type')} {problem.get('detail')}"
            fits = answer.status_code == status and reason in whole and told.startswith('Bearer realm="uplift"')
            fits = fits and answer.headers["content-type"] == "application/problem+json"
            error = {401: 'error="invalid_token"', 403: 'error="insufficient_scope"'}[status]
            if not fits or (error in told) == (name == "no token"):
                wrong[name] = (answer.status_code, whole, told)
        assert wrong == {}


@pytest.mark.parametrize("name", ["test", "embedded"])
async def test_bad_tokens_of_these_issuers_are_refused(
    cluster: Cluster, opened_issuers: dict[str, Callable[[], AbstractAsyncContextManager[Issuer]]], name: str
) -> None:
    await refuses_every_bad_token(cluster, opened_issuers[name]())


async def test_bad_tokens_of_keycloak_are_refused(cluster: Cluster, keycloak: RunningKeycloak) -> None:
    await refuses_every_bad_token(cluster, issuers.keycloak(keycloak, f"m{secrets.token_hex(4)}"))
