"""Puts the demo tenant in place, the way a customer is: through the API."""

import asyncio

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from all_in_one import oidc
from all_in_one.demo import demo_blueprint, demo_people

PASSWORD = "demo"  # noqa: S105  a published one: the provider is for loopback only
TENANT = "demo"
DEMO_USERS = ("agent", "lead", "trainer", "analyst", "admin", "platform")
PHONE_SYSTEM = "phone-system"
PHONE_SYSTEM_SECRET = "demo-phone-system"  # noqa: S105


async def prepare_accounts(engine: AsyncEngine, url: str) -> None:
    """Accounts of everybody in the demo, and the client of its phone system. Cheap when they are there."""
    for person in demo_people():
        await oidc.ensure_account(
            engine,
            person.login,
            PASSWORD,
            TENANT,
            sub=person.login,
            display_name=person.display_name,
            listed=person.login in DEMO_USERS,
        )
    await oidc.ensure_client(engine, PHONE_SYSTEM, PHONE_SYSTEM_SECRET, [], TENANT, ["client_credentials"])
    await oidc.ensure_client(engine, "portal", None, [f"{url}/"], None, ["authorization_code", "refresh_token"])


async def user_token(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> str:
    """An access token by the password grant, which this provider has for the command line only."""
    answer = await client.post(
        "/oidc/token",
        data={"grant_type": "password", "client_id": oidc.CLI_CLIENT, "username": username, "password": password},
    )
    return str(answer.raise_for_status().json()["access_token"])


async def prepare_tenant(url: str) -> None:
    """Creates tenant `demo` with its blueprint when it is not there, and waits until every service has applied it."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        headers = {"authorization": f"Bearer {await user_token(client, 'platform')}"}
        if await _applied(client, headers):
            return
        tenant = {"slug": TENANT, "name": "Demo call centre", "simulated": True, "time_zone": "Europe/Berlin"}
        made = await client.post("/api/identity/v1/tenants", json=tenant, headers=headers)
        if made.status_code not in (200, 201, 409):
            made.raise_for_status()
        put = await client.put(f"/api/identity/v1/tenants/{TENANT}/blueprint", json=demo_blueprint(), headers=headers)
        if put.is_error:
            raise RuntimeError(f"the demo blueprint was refused: {put.text}")
        async with asyncio.timeout(60):
            while not await _applied(client, headers):
                await asyncio.sleep(0.05)


async def _applied(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    answer = await client.get(f"/api/identity/v1/tenants/{TENANT}", headers=headers)
    if answer.status_code == 404:
        return False
    sections = answer.raise_for_status().json()["sections"]
    rejected = {name: state for name, state in sections.items() if state["status"] == "rejected"}
    if rejected:
        raise RuntimeError(f"the demo blueprint was rejected: {rejected}")
    return bool(sections) and all(state["status"] == "applied" for state in sections.values())
