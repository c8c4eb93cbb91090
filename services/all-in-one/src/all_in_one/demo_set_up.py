"""Puts the demo tenant in place, the way a customer is: through the API."""

import asyncio
from datetime import UTC, datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from all_in_one import demo, oidc

PLATFORM_ADMIN = "platform"


async def prepare_clients(engine: AsyncEngine) -> None:
    """The demo's phone system as a machine client. Cheap when it is there."""
    await oidc.ensure_client(
        engine, demo.PHONE_SYSTEM, demo.PHONE_SYSTEM_SECRET, [], demo.TENANT, ["client_credentials"]
    )


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
                demo.PASSWORD,
                demo.TENANT,
                sub=account.username,
                display_name=account.display_name,
                listed=account.listed,
            )
        tenant = {
            "slug": demo.TENANT,
            "name": demo.TENANT_NAME,
            "simulated": True,
            "time_zone": "Europe/Berlin",
            "clock": demo.opening(start).isoformat(),
        }
        made = await client.post("/api/identity/v1/tenants", json=tenant, headers=headers)
        if made.is_error and made.status_code != 409:
            raise RuntimeError(f"the demo tenant was refused: {made.text}")
        put = await client.put(f"/api/identity/v1/tenants/{demo.TENANT}/blueprint", json=bundle, headers=headers)
        if put.is_error:
            raise RuntimeError(f"the demo blueprint was refused: {put.text}")
        async with asyncio.timeout(60):
            while not (await _applied(client, headers) and await _settled(client)):
                await asyncio.sleep(0.05)


async def _platform_token(client: httpx.AsyncClient) -> str:
    form = {
        "grant_type": "password",
        "client_id": oidc.CLI_CLIENT,
        "username": PLATFORM_ADMIN,
        "password": demo.PASSWORD,
    }
    answer = await client.post("/oidc/token", data=form)
    return str(answer.raise_for_status().json()["access_token"])


async def _settled(client: httpx.AsyncClient) -> bool:
    """Whether every service has heard of everybody: nothing is under way any more."""
    lag: dict[str, dict[str, int]] = (await client.get("/lag")).raise_for_status().json()
    return not any(count for topics in lag.values() for count in topics.values())


async def _applied(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    answer = await client.get(f"/api/identity/v1/tenants/{demo.TENANT}", headers=headers)
    if answer.status_code == 404:
        return False
    sections = answer.raise_for_status().json()["services"]
    rejected = {name: state for name, state in sections.items() if state["status"] == "rejected"}
    if rejected:
        raise RuntimeError(f"the demo blueprint was rejected: {rejected}")
    return bool(sections) and all(state["status"] == "applied" for state in sections.values())
