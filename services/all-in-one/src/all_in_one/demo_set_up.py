"""Puts the demo tenant in place, the way a customer is: through the API."""

import asyncio
from datetime import UTC, datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from all_in_one import demo, oidc

PASSWORD = "demo"  # noqa: S105  a published one: the provider is for loopback only
PHONE_SYSTEM_SECRET = "demo-phone-system"  # noqa: S105
PLATFORM_ADMIN = "platform"


async def prepare_clients(engine: AsyncEngine) -> None:
    """The demo's phone system as a machine client. Cheap when it is there."""
    await oidc.ensure_client(engine, demo.PHONE_SYSTEM, PHONE_SYSTEM_SECRET, [], demo.TENANT, ["client_credentials"])


async def prepare_tenant(engine: AsyncEngine, url: str) -> None:
    """Creates tenant `demo`, its accounts and its blueprint when they are not there, and waits until every service has
    applied its section."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        headers = {"authorization": f"Bearer {await _platform_token(client)}"}
        if await _applied(client, headers):
            return
        start = demo.history_start(datetime.now(UTC).date())
        bundle = demo.load(start)
        for account in demo.accounts(bundle):
            await oidc.ensure_account(
                engine,
                account.username,
                PASSWORD,
                demo.TENANT,
                sub=account.username,
                display_name=account.display_name,
                listed=account.listed,
            )
        tenant = {"slug": demo.TENANT, "name": demo.TENANT_NAME, "simulated": True, "time_zone": "Europe/Berlin"}
        made = await client.post("/api/identity/v1/tenants", json=tenant, headers=headers)
        if made.is_error and made.status_code != 409:
            raise RuntimeError(f"the demo tenant was refused: {made.text}")
        put = await client.put(f"/api/identity/v1/tenants/{demo.TENANT}/blueprint", json=bundle, headers=headers)
        if put.is_error:
            raise RuntimeError(f"the demo blueprint was refused: {put.text}")
        began = {"now": f"{start.isoformat()}T00:00:00Z"}
        moved = await client.post(f"/api/identity/v1/tenants/{demo.TENANT}/clock", json=began, headers=headers)
        if moved.is_error:
            raise RuntimeError(f"the demo tenant's clock was not moved: {moved.text}")
        async with asyncio.timeout(60):
            while not await _applied(client, headers):
                await asyncio.sleep(0.05)


async def _platform_token(client: httpx.AsyncClient) -> str:
    form = {
        "grant_type": "password",
        "client_id": oidc.CLI_CLIENT,
        "username": PLATFORM_ADMIN,
        "password": PASSWORD,
    }
    answer = await client.post("/oidc/token", data=form)
    return str(answer.raise_for_status().json()["access_token"])


async def _applied(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    answer = await client.get(f"/api/identity/v1/tenants/{demo.TENANT}", headers=headers)
    if answer.status_code == 404:
        return False
    sections = answer.raise_for_status().json()["services"]
    rejected = {name: state for name, state in sections.items() if state["status"] == "rejected"}
    if rejected:
        raise RuntimeError(f"the demo blueprint was rejected: {rejected}")
    return bool(sections) and all(state["status"] == "applied" for state in sections.values())
