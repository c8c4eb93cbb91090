"""What flow tests do to a suite, in the words of its API."""

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import httpx
from messaging.broker import Outgoing
from messaging.log_table import LogTableBroker
from storage.embedded import EmbeddedPostgres
from testkit import wait_for

from tests.flow.scenario import SOURCE, TEAMS, blueprint, ndjson, records_of
from tests.flow.suite import Embedded, Suite


def user(who: str, tenant: str) -> str:
    """The login of a person of one tenant; the directory calls them by the bare name."""
    return who if tenant == "t1" else f"{who}.{tenant}"


def set_up_tenant(suite: Suite, tenant: str, bundle: dict[str, Any] | None = None) -> None:
    """A new customer: accounts, tenant, blueprint; ready when every service has applied its section."""
    suite.call("platform", "POST", "/api/identity/v1/tenants", json={"slug": tenant, "name": tenant.upper()})
    bundle = bundle or blueprint()
    for person in bundle["sections"]["identity"]["people"]:
        if "login" in person:
            person["login"] = suite.create_account(user(person["login"], tenant), tenant)
    suite.call("platform", "PUT", f"/api/identity/v1/tenants/{tenant}/blueprint", json=bundle)

    def is_applied() -> bool:
        sections = suite.call("platform", "GET", f"/api/identity/v1/tenants/{tenant}")["services"]
        assert all(state["status"] != "rejected" for state in sections.values()), sections
        return all(state["status"] == "applied" for state in sections.values())

    wait_for(is_applied, seconds=30, every=0.05)
    suite.wait_until_idle()


def post_records(suite: Suite, tenant: str, records: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
    """Posts records as a gzip NDJSON file. Returns the receipt."""
    return suite.call(
        user("boss", tenant),
        "POST",
        f"/api/ingest/v1/sources/{SOURCE}/records",
        params=params,
        content=gzip.compress(ndjson(records)),
        headers={"content-type": "application/x-ndjson", "content-encoding": "gzip"},
    )


def try_send(suite: Suite, tenant: str, day: int) -> bool:
    """Posts a day's records; False when nobody answered."""
    try:
        post_records(suite, tenant, records_of(day))
    except httpx.HTTPError:
        return False
    return True


def load_state(suite: Suite, tenant: str) -> dict[str, Any]:
    """Everything that must be equal however often the process was killed."""
    boss = user("boss", tenant)
    values = suite.call(
        boss,
        "GET",
        "/api/kpi-engine/v1/kpis/silence_pct/values",
        params={"by": "agent", "grain": "workday", "from": "2026-03-01", "to": "2026-04-01", "limit": 1000},
    )["items"]
    assignments = suite.all_items(boss, "/api/training/v1/assignments")
    ledger = suite.all_items(boss, "/api/gamification/v1/ledger")
    notices = {
        who: sorted(each["subject"] for each in suite.all_items(user(who, tenant), "/api/notification/v1/inbox"))
        for who in (*TEAMS, "lea", "leo")
    }
    return {
        "values": sorted((each["name"], each["window"], each["value"], each["sample"]) for each in values),
        "assignments": sorted((each["agent"], each["template"], each["status"]) for each in assignments),
        "points": sorted((each["agent"], each["rule"], each["points"]) for each in ledger),
        "notices": notices,
    }


def publish(suite: Embedded, messages: Sequence[Outgoing]) -> None:
    """Puts messages straight into the broker's log, past every service's out-tray."""
    dsn = EmbeddedPostgres(suite.data).url("broker", "uplift").replace("postgresql+psycopg:", "postgresql:", 1)

    async def run() -> None:
        async with LogTableBroker(dsn) as broker:
            await broker.publish(messages)

    asyncio.run(run())
