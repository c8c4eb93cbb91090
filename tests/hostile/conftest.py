"""All services at their HTTP doors, on one database, with a tenant in which everything has been set up once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib import import_module
from typing import Any

import httpx
import pytest
from contracts.directory import Login, OrgUnitChanged, PersonChanged, TenantChanged
from fastapi import FastAPI
from hypothesis import settings
from servicekit import Service
from servicekit.wiring import build_service
from testkit import ISSUER, Cluster, Harness, TestIssuer, parse_instant

from tests.hostile.set_up import PEOPLE, set_up

settings.register_profile("fuzz", max_examples=400)  # `make fuzz`
settings.register_profile("fuzz-short", max_examples=100)

DIRECTORY = (TenantChanged, OrgUnitChanged, PersonChanged)


class HostileSuite:
    """`client` speaks to one service as somebody of the tenant `acme`; `root` is the platform's administrator."""

    def __init__(
        self,
        services: Sequence[Service],
        cluster: Cluster,
        issuer: TestIssuer,
        database: str,
        ids: dict[str, str] | None = None,
    ) -> None:
        self.database, self.ids = database, ids or {}
        settings = cluster.settings(database)
        self.harnesses = {
            each.name: Harness(
                build_service(
                    each, settings, http=httpx.AsyncClient(), verifier=issuer.verifier(), stopping=asyncio.Event()
                ),
                issuer,
            )
            for each in services
        }
        self.issuer = issuer

    def client(self, service: str, who: str | None = "boss") -> httpx.AsyncClient:
        harness = self.harnesses[service]
        if who is None:
            return harness.client(None)
        return harness.client_as(who, "platform" if who == "root" else "acme")

    def app(self, service: str) -> FastAPI:
        """The service's own application, below its prefix."""
        return self.harnesses[service]._root.routes[-1].app  # pyright: ignore[reportAttributeAccessIssue]

    def operations(self, service: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of everything that the service answers."""
        for path, operations in self.app(service).openapi()["paths"].items():
            for method, described in operations.items():
                yield method.upper(), path, described

    async def deliver_directory_events(self) -> None:
        """Tells all services of what identity has said of the directory."""
        told = await self.harnesses["identity"].read_outbox()
        for attributes, body in told:
            if isinstance(body, DIRECTORY):
                for each in self.harnesses.values():
                    await each.deliver(body, tenant=attributes.tenant, at=attributes.time, twice=False)
        await self.harnesses["identity"].clear_outbox()

    async def close(self) -> None:
        for each in self.harnesses.values():
            await each.close()


def thorough() -> bool:
    """Whether everything is tried, and not a sample of it."""
    return settings.get_current_profile_name().startswith("fuzz")


@pytest.fixture(scope="session")
def furnished(
    services: Sequence[Service], cluster: Cluster, issuer: TestIssuer
) -> Iterator[tuple[str, dict[str, str]]]:
    """The name of a database on which the tenant has been set up, and what ids it has."""

    async def furnish(name: str) -> dict[str, str]:
        made = HostileSuite(services, cluster, issuer, name)
        actions = import_module("identity.actions")
        async with made.harnesses["identity"].context.sessions.begin(
            ["platform"], now=parse_instant("2026-03-02T08:00Z")
        ) as session:
            await actions.ensure_platform(session, login=Login(iss=ISSUER, sub="root"))
        await made.deliver_directory_events()
        root = made.client("identity", "root")
        admin = {"slug": "boss", "display_name": "The Boss", "login": {"iss": ISSUER, "sub": "boss"}}
        spec = {"slug": "acme", "name": "Acme", "time_zone": "Europe/Berlin", "admin": admin}
        (await root.post("/tenants", json=spec)).raise_for_status()
        await made.deliver_directory_events()
        bundle = {"blueprint": "centre", "sections": {"identity": PEOPLE}}
        (await made.client("identity").put("/tenants/acme/blueprint", json=bundle)).raise_for_status()
        await made.deliver_directory_events()
        ids = await set_up(made.client)
        await made.close()
        return ids

    with cluster.database(services) as name:
        yield name, asyncio.run(furnish(name))


@pytest.fixture
async def suite(
    services: Sequence[Service], cluster: Cluster, issuer: TestIssuer, furnished: tuple[str, dict[str, str]]
) -> AsyncIterator[HostileSuite]:
    """On the database that all tests of this folder share."""
    made = HostileSuite(services, cluster, issuer, *furnished)
    yield made
    await made.close()


@pytest.fixture
async def own_suite(
    services: Sequence[Service], cluster: Cluster, issuer: TestIssuer, furnished: tuple[str, dict[str, str]]
) -> AsyncIterator[HostileSuite]:
    """On a copy of the test's own."""
    name = cluster.create(template=furnished[0])
    made = HostileSuite(services, cluster, issuer, name, furnished[1])
    yield made
    await made.close()
    cluster.drop(name)
