"""Identity at its doors, with its own events delivered to its copy of the directory, as the relay would."""

from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from typing import Any

import httpx
import pytest
from contracts import Attributes, Event
from contracts.audit import ConfigurationChanged
from contracts.directory import Login, OrgUnitChanged, PersonChanged, TenantChanged
from identity.actions import ensure_platform
from identity.service import service
from testkit import ISSUER, Harness, parse_instant

DIRECTORY = (TenantChanged, OrgUnitChanged, PersonChanged)
NOW = parse_instant("2026-03-02T08:00Z")


class Identity:
    """`call` speaks as somebody and afterwards lets the events arrive; `published` are the events of the last call, without
    those for the audit log, which are `audited`."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.published: list[tuple[Attributes, Event]] = []
        self.audited: list[ConfigurationChanged] = []
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}

    def client(self, who: str) -> httpx.AsyncClient:
        """`who` is person@tenant; the person's login is their slug."""
        sub, _, tenant = who.partition("@")
        if (sub, tenant) not in self._clients:
            self._clients[sub, tenant] = self.harness.client_as(sub, tenant)
        return self._clients[sub, tenant]

    async def call(self, who: str, method: str, path: str, expect: int = 200, **kwargs: Any) -> Any:
        response = await self.client(who).request(method, path, **kwargs)
        assert response.status_code == expect, (response.status_code, response.text)
        await self.deliver_own_events()
        is_json = "json" in response.headers.get("content-type", "")
        return response.json() if is_json else response.text

    async def deliver_own_events(self) -> None:
        emitted = await self.harness.read_outbox()
        self.published = [each for each in emitted if not isinstance(each[1], ConfigurationChanged)]
        self.audited = [body for _, body in emitted if isinstance(body, ConfigurationChanged)]
        for attributes, body in emitted:
            if isinstance(body, (*DIRECTORY, ConfigurationChanged)):
                ids = [attributes.id]
                await self.harness.deliver(body, tenant=attributes.tenant, at=attributes.time, ids=ids)
        await self.harness.clear_outbox()

    def bodies(self, kind: type[Event]) -> list[Any]:
        return [body for _, body in self.published if isinstance(body, kind)]

    async def tenant(self, slug: str, **fields: Any) -> None:
        """A tenant whose administrator is `boss`."""
        admin = {"slug": "boss", "display_name": "The Boss", "login": {"iss": ISSUER, "sub": "boss"}}
        spec = {"slug": slug, "name": slug.title(), "time_zone": "Europe/Berlin", "admin": admin, **fields}
        await self.call("root@platform", "POST", "/tenants", 201, json=spec)

    async def put(self, tenant: str, identity: Mapping[str, Any], expect: int = 200, **sections: Any) -> Any:
        bundle = {"blueprint": "call-centre", "sections": {"identity": identity, **sections}}
        return await self.call(f"boss@{tenant}", "PUT", f"/tenants/{tenant}/blueprint", expect, json=bundle)


@pytest.fixture
async def identity(harness_for: Callable[..., Awaitable[Harness]]) -> Identity:
    """With tenant `platform` and its administrator `root`."""
    made = Identity(await harness_for(service))
    async with made.harness.context.sessions.begin(["platform"], now=NOW) as session:
        await ensure_platform(session, login=Login(iss=ISSUER, sub="root"))
    await made.deliver_own_events()
    return made


CENTRE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "org_units": [
        {"slug": "site-a", "name": "Site A", "kind": "site"},
        {"slug": "team-1", "name": "Team 1", "parent": "site-a"},
        {"slug": "team-2", "name": "Team 2", "parent": "site-a"},
        {"slug": "site-b", "name": "Site B", "kind": "site"},
    ],
    "people": [
        {
            "slug": slug,
            "display_name": slug.title(),
            "login": slug,
            "external_ids": [{"source": "connect", "external_id": f"agent-{slug}"}],
            "memberships": [{"org_unit": team, "valid_from": "2026-01-05"}],
            "roles": roles,
        }
        for slug, team, roles in (
            ("ada", "team-1", [{"role": "agent"}]),
            ("ben", "team-2", [{"role": "agent"}]),
            ("lea", "team-1", [{"role": "team_lead", "org_unit": "team-1"}]),
            ("tia", "site-b", [{"role": "trainer"}]),
        )
    ],
}


@pytest.fixture
def section() -> dict[str, Any]:
    """The identity section of tenant `demo` in the fixture `centre`; the test may change it."""
    return deepcopy(CENTRE)


@pytest.fixture
async def centre(identity: Identity) -> Identity:
    """With tenant `demo`: ada in team 1, led by lea; ben in team 2; tia, a trainer of everybody."""
    await identity.tenant("demo")
    await identity.put("demo", CENTRE)
    return identity
