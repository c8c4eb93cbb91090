"""Sets up the demo tenant through the API, like a customer's. The shapes differ in how they create accounts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dev_idp
import httpx
from simulator import demo
from sqlalchemy.ext.asyncio import AsyncEngine

PLATFORM_ADMIN = "platform"
WAIT_SECONDS = 60

Accounts = Callable[[Sequence[demo.Account]], Awaitable[Mapping[str, str]]]
"""Creates these accounts and the phone system's client. Returns the `sub` of each by its login in the bundle."""


async def prepare_embedded(engine: AsyncEngine, url: str) -> None:
    """Sets up the demo with the embedded provider. Quick when it exists. Raises as `prepare_tenant`."""
    await dev_idp.ensure_client(
        engine, demo.PHONE_SYSTEM, demo.PHONE_SYSTEM_SECRET, [], demo.TENANT, ["client_credentials"]
    )

    async def accounts(wanted: Sequence[demo.Account]) -> Mapping[str, str]:
        for each in wanted:
            await dev_idp.ensure_account(
                engine,
                each.username,
                demo.PASSWORD,
                demo.TENANT,
                sub=each.username,
                display_name=each.display_name,
                listed=each.listed,
            )
        return {}  # here the `sub` is the login

    form = {
        "grant_type": "password",
        "client_id": dev_idp.CLI_CLIENT,
        "username": PLATFORM_ADMIN,
        "password": demo.PASSWORD,
    }
    await prepare_tenant(url, f"{url}/oidc/token", form, accounts, [f"{url}/lag"])


async def prepare_tenant(
    url: str, token_url: str, form: Mapping[str, str], accounts: Accounts, lag_urls: Sequence[str]
) -> None:
    """Creates tenant `demo`, its accounts and its blueprint unless they exist, and waits until every service has applied its
    section and no message waits. `form` gets a platform admin's token at `token_url`. Raises httpx.HTTPError,
    RuntimeError when something is refused, TimeoutError."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = (await client.post(token_url, data=dict(form))).raise_for_status()
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        if await _is_applied(client):
            return
        start = demo.history_start(datetime.now(UTC).date())
        bundle = demo.load_blueprint(start)
        subs = await accounts(demo.accounts(bundle))
        for person in bundle["sections"]["identity"]["people"]:
            if person.get("login") in subs:
                person["login"] = subs[person["login"]]
        await _publish(client, bundle, start)
        async with asyncio.timeout(WAIT_SECONDS):
            while not (await _is_applied(client) and await _has_settled(client, lag_urls)):
                await asyncio.sleep(0.05)


async def _publish(client: httpx.AsyncClient, bundle: dict[str, Any], start: Any) -> None:
    tenant = {
        "slug": demo.TENANT,
        "name": demo.TENANT_NAME,
        "simulated": True,
        "time_zone": "Europe/Berlin",
        "clock": demo.tenant_start_time(start).isoformat(),
    }
    made = await client.post("/api/identity/v1/tenants", json=tenant)
    if made.is_error and made.status_code != 409:
        raise RuntimeError(f"the demo tenant was refused: {made.text}")
    put = await client.put(f"/api/identity/v1/tenants/{demo.TENANT}/blueprint", json=bundle)
    if put.is_error:
        raise RuntimeError(f"the demo blueprint was refused: {put.text}")


async def _has_settled(client: httpx.AsyncClient, lag_urls: Sequence[str]) -> bool:
    """Whether every service has read the directory: no message waits."""
    for url in lag_urls:
        lag: dict[str, dict[str, int]] = (await client.get(url)).raise_for_status().json()
        if any(count for topics in lag.values() for count in topics.values()):
            return False
    return True


async def _is_applied(client: httpx.AsyncClient) -> bool:
    answer = await client.get(f"/api/identity/v1/tenants/{demo.TENANT}")
    if answer.status_code == 404:
        return False
    sections = answer.raise_for_status().json()["services"]
    rejected = {name: state for name, state in sections.items() if state["status"] == "rejected"}
    if rejected:
        raise RuntimeError(f"the demo blueprint was rejected: {rejected}")
    return bool(sections) and all(state["status"] == "applied" for state in sections.values())
