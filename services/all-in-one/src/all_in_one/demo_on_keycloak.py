"""`uplift demo`: the demo tenant on the real stack, with its people and its phone system in Keycloak. Development only: the
password is public, and a client allows the simulator the password grant."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence

import httpx
from contracts.directory import PLATFORM_TENANT
from identity.clients import keycloak as kc
from identity.model.applications import Account, Machine, application_id
from identity.settings import IdentitySettings
from servicekit.settings import PlatformSettings
from simulator import demo

from all_in_one.demo_set_up import WAIT_SECONDS, prepare_tenant
from all_in_one.provision import ensure_platform_admin

SET_UP = "demo-set-up"
DIRECT_GRANT = {
    "clientId": "uplift-cli", "name": "Command line of the demo", "protocol": "openid-connect", "enabled": True,
    "publicClient": True, "standardFlowEnabled": False, "directAccessGrantsEnabled": True,
    "defaultClientScopes": ["basic", "uplift-api"], "optionalClientScopes": ["organization"],
}  # fmt: skip


async def prepare(url: str, lag_urls: Sequence[str]) -> None:
    """Sets up the demo. Reads identity's settings for its database and Keycloak. Idempotent. Raises ValueError when no Keycloak
    is configured; else as `prepare_tenant`."""
    platform, own = PlatformSettings(), IdentitySettings()
    if own.keycloak_url is None:
        raise ValueError("Set IDENTITY_KEYCLOAK_URL to where Keycloak answers.")
    provider = kc.KeycloakProvider(
        own.keycloak_url, own.keycloak_client_id, own.keycloak_client_secret.get_secret_value(), own.keycloak_realm
    )
    machine = Machine(protocol="machine", name="Demo set-up", person="admin")
    secret = secrets.token_urlsafe(32)
    form = {
        "grant_type": "client_credentials",
        "client_id": application_id(PLATFORM_TENANT, SET_UP, machine),
        "client_secret": secret,
    }
    async with provider.connect() as at:
        sub = await kc.ensure_application(at, PLATFORM_TENANT, SET_UP, machine, secret=secret)
        try:
            await ensure_platform_admin(platform, str(sub))  # for as long as this client exists
            token_url = f"{url}{demo.token_path(own.keycloak_realm)}"
            await _wait_for_access(url, token_url, form)

            async def accounts(wanted: Sequence[demo.Account]) -> Mapping[str, str]:
                return await _ensure_accounts(at, wanted)

            await prepare_tenant(url, token_url, form, accounts, lag_urls)
        finally:
            await kc.remove_application(at, PLATFORM_TENANT, SET_UP, machine)


async def _ensure_accounts(at: kc.Keycloak, wanted: Sequence[demo.Account]) -> Mapping[str, str]:
    await kc.ensure_organization(at, demo.TENANT, name=demo.TENANT_NAME, enabled=True)
    await at.admin.a_create_client(DIRECT_GRANT, skip_exists=True)
    phone = Machine(protocol="machine", name="Phone system (simulated)", person=demo.PHONE_SYSTEM)
    subs = {
        f"client:{demo.PHONE_SYSTEM}": str(
            await kc.ensure_application(at, demo.TENANT, demo.PHONE_SYSTEM, phone, secret=demo.PHONE_SYSTEM_SECRET)
        )
    }
    for each in wanted:
        account = Account(username=each.username, display_name=each.display_name)
        subs[each.username] = await kc.ensure_account(at, demo.TENANT, account)
        await at.admin.a_set_user_password(subs[each.username], demo.LONG_PASSWORD, temporary=False)
    return subs


async def _wait_for_access(url: str, token_url: str, form: Mapping[str, str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    async with httpx.AsyncClient(timeout=20) as client:
        token = (await client.post(token_url, data=dict(form))).raise_for_status().json()["access_token"]
        while True:
            answer = await client.get(f"{url}/api/identity/v1/me", headers={"authorization": f"Bearer {token}"})
            if answer.is_success:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not know the platform admin: {answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(0.2)
