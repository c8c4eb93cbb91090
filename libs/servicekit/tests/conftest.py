import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from servicekit.wiring import wire
from testkit import Cluster, Harness, TestIssuer, org_unit, person
from testkit.harness import harness

sys.path.insert(0, str(Path(__file__).parent))  # the service `notes` lives beside its tests

from notes.service import service

_FORGET = "note, effect, outbox, consumer_offset, dead_letter, due_item, idempotent_response, tenant_clock"


async def populate(made: Harness) -> None:
    """Two tenants: `acme` (ada, ben, the leads lea and sue, the admin root) and `zeta` (the admin zoe)."""
    await made.directory(
        "acme",
        org_units=[org_unit("floor", kind="site"), org_unit("blue", parent="floor"), org_unit("red", parent="floor")],
        people=[
            person("ada", team="blue"),
            person("ben", team="red"),
            person("lea", roles=["agent", ("team_lead", "blue")], team="blue"),
            person("sue", roles=[("team_lead", "floor")], team="floor"),
            person("root", roles=["tenant_admin"]),
        ],
    )
    await made.directory("zeta", people=[person("zoe", roles=["tenant_admin"])])


@pytest.fixture(scope="session")
def populated(cluster: Cluster, issuer: TestIssuer) -> Iterator[str]:
    """The name of a database with the directory of both tenants; copying one for every test would cost minutes."""

    async def seed(name: str) -> None:
        made = Harness(
            wire(service, cluster.settings(name), http=httpx.AsyncClient(), verifier=issuer.verifier(),
                 stopping=asyncio.Event()),
            issuer,
        )  # fmt: skip
        await populate(made)
        await made.close()

    with cluster.database([service]) as name:
        asyncio.run(seed(name))
        yield name


@pytest.fixture
async def notes(cluster: Cluster, issuer: TestIssuer, populated: str) -> AsyncIterator[Harness]:
    """The service with both tenants. A test that changes the directory asks for `own_notes`."""
    with psycopg.connect(cluster.server.url(database=populated).replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SET search_path TO training")
        admin.execute(f"TRUNCATE {_FORGET}")
    running = wire(
        service, cluster.settings(populated), http=httpx.AsyncClient(), verifier=issuer.verifier(),
        stopping=asyncio.Event(),
    )  # fmt: skip
    made = Harness(running, issuer)
    yield made
    await made.close()


@pytest.fixture
async def own_notes(cluster: Cluster, issuer: TestIssuer) -> AsyncIterator[Harness]:
    """The same on a database of the test's own."""
    async with harness(service, cluster, issuer) as made:
        await populate(made)
        await made.forget_events()
        async with made.kit.sessions.begin(["acme", "zeta"], now=made.now) as session:
            await session.execute("DELETE FROM effect")
        yield made
