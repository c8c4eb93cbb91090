"""At every door at which a tenant gives an address that something here will call: it is refused when it is saved, and
looked up again before anybody is told of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from contracts.directory import Login
from identity.actions import ensure_platform
from identity.actions.desired_state import APPLICATION, BROKER, set_desired
from identity.actions.reconciling import reconcile
from identity.actions.tenants import add_tenant, reserve_slug
from identity.clients.keycloak import KeycloakProvider
from identity.model.specs import TenantSpec
from identity.service import service as identity
from identity.service import wire
from identity.settings import IdentitySettings
from notification.service import service as notification
from servicekit.outbound import OutboundClient, UrlPolicy
from testkit import ISSUER, Harness, parse_instant, person, tenant

from tests.hostile.test_addresses import BROKEN, INSIDE

NOW = parse_instant("2026-03-02T08:00Z")
BAD = [*(f"https://{host}/x" for host in INSIDE.values()), *(each for each in BROKEN.values() if each.isprintable())]
GOOD = "https://login.acme.example/x"
OIDC = {
    "protocol": "oidc", "issuer": GOOD, "authorization_url": GOOD, "token_url": GOOD, "jwks_url": GOOD,
    "client_id": "uplift", "client_secret": "s",
}  # fmt: skip
SAML = {"protocol": "saml", "entity_id": "urn:example:acme", "sso_url": GOOD, "certificate": "MIIB"}
SUBSYSTEM = {"protocol": "oidc", "redirect_uris": [GOOD]}
PROVIDER = {"protocol": "saml", "entity_id": "urn:example:crm", "acs_url": GOOD}
DOORS: dict[str, tuple[str, dict[str, Any], str]] = {
    **{f"own provider, {name}": ("identity-provider", OIDC, name) for name in
       ("issuer", "authorization_url", "token_url", "jwks_url")},
    "own provider by SAML": ("identity-provider", SAML, "sso_url"),
    "back-channel logout": ("applications/crm", SUBSYSTEM, "back_channel_logout_uri"),
    "logout by SAML": ("applications/plan", PROVIDER, "slo_url"),
}  # fmt: skip


@pytest.fixture
async def centre(harness_for: Callable[..., Awaitable[Harness]]) -> Harness:
    """Identity with a Keycloak that is away, and tenant `acme`."""
    settings = IdentitySettings(keycloak_url="http://127.0.0.1:1")
    harness = await harness_for(replace(identity, wire=partial(wire, settings=settings)))
    async with harness.context.sessions.begin(["platform"], now=NOW) as session:
        await ensure_platform(session, login=Login(iss=ISSUER, sub="root"))
        await reserve_slug(session, "acme")
    async with harness.context.sessions.begin(["acme"], now=NOW) as session:
        await add_tenant(session, TenantSpec(slug="acme", name="Acme"), issuer=ISSUER)
    await harness.deliver(tenant("acme"), tenant="acme")
    await harness.deliver(person("boss", roles=["tenant_admin"]), tenant="acme")
    return harness


@pytest.mark.parametrize(("path", "spec", "field"), DOORS.values(), ids=DOORS)
async def test_identity_saves_no_address_that_leads_inside(
    centre: Harness, path: str, spec: dict[str, Any], field: str
) -> None:
    boss = centre.client_as("boss", "acme")
    for address in BAD:
        answer = await boss.put(f"/tenants/acme/{path}", json={**spec, field: address})
        assert answer.status_code == 422, (address, answer.text)
        assert answer.json()["errors"][0]["pointer"].endswith(f"/{field}"), (address, answer.text)
    answer = await boss.put(f"/tenants/acme/{path}", json={**spec, field: GOOD})
    assert answer.status_code == 200, answer.text


async def test_notification_saves_no_webhook_that_leads_inside(
    harness_for: Callable[..., Awaitable[Harness]],
) -> None:
    harness = await harness_for(notification)
    await harness.deliver(tenant("acme"), tenant="acme")
    await harness.deliver(person("boss", roles=["tenant_admin"]), tenant="acme")
    boss = harness.client_as("boss", "acme")
    for address in BAD:
        answer = await boss.put("/webhooks/crm", json={"url": address, "events": ["band.entered"]})
        assert answer.status_code == 422, (address, answer.text)


@pytest.mark.parametrize(("kind", "slug", "wanted"), [
    (BROKER, "own", OIDC), (BROKER, "own", SAML),
    (APPLICATION, "crm", {**SUBSYSTEM, "back_channel_logout_uri": GOOD}), (APPLICATION, "plan", {**PROVIDER, "slo_url": GOOD}),
])  # fmt: skip
async def test_a_name_that_leads_inside_by_now_is_not_told_to_the_provider(
    centre: Harness, kind: str, slug: str, wanted: dict[str, Any]
) -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["169.254.169.254"]

    async def outside(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    provider = KeycloakProvider("http://127.0.0.1:1", "x", "x", "uplift")
    for resolve, told in ((inside, "login.acme.example leads to no address that is public"), (outside, "Keycloak")):
        async with centre.context.sessions.begin(["acme"], now=NOW) as session:
            await set_desired(session, kind, slug, wanted)
        begin = partial(centre.context.sessions.begin, ["acme"], now=NOW)
        outbound = OutboundClient(UrlPolicy(), timeout_seconds=5, resolve=resolve)
        await reconcile(begin, provider, issuer=ISSUER, outbound=outbound, tenant="acme", kind=kind, slug=slug, now=NOW)
        (row,) = await centre.rows("acme", f"SELECT state, error FROM provision WHERE slug = '{slug}'")
        assert row["state"] == "waiting"
        assert told in row["error"]
        assert "169.254" not in row["error"]
