import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from servicekit.wiring import build_service
from testkit import Cluster, Harness, TestIssuer, org_unit, person

sys.path.insert(0, str(Path(__file__).parent))  # the service `notes` lives beside its tests

from notes.service import service

_FORGET = "note, effect, outbox, consumer_offset, dead_letter, due_item, idempotent_response, tenant_clock"


async def populate(made: Harness) -> None:
    """Two tenants: `acme` (ada, ben, the leads lea and sue, the admin root) and `zeta` (the admin zoe)."""
    await made.apply_directory(
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
    await made.apply_directory("zeta", people=[person("zoe", roles=["tenant_admin"])])


def opened(cluster: Cluster, issuer: TestIssuer, database: str) -> Harness:
    settings = cluster.settings(database)
    return Harness(
        build_service(
            service, settings, http=httpx.AsyncClient(), verifier=issuer.verifier(), stopping=asyncio.Event()
        ),
        issuer,
    )


def forget_all_but_the_directory(cluster: Cluster, database: str) -> None:
    with psycopg.connect(cluster.server.url(database=database).replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SET search_path TO training")
        admin.execute(f"TRUNCATE {_FORGET}")


@pytest.fixture(scope="session")
def populated(cluster: Cluster, issuer: TestIssuer) -> Iterator[str]:
    """The name of a database with the directory of both tenants; filling one for every test would cost minutes."""

    async def seed(name: str) -> None:
        made = opened(cluster, issuer, name)
        await populate(made)
        await made.close()

    with cluster.database([service]) as name:
        asyncio.run(seed(name))
        yield name


@pytest.fixture
async def notes(cluster: Cluster, issuer: TestIssuer, populated: str) -> AsyncIterator[Harness]:
    """The service with both tenants. A test that changes the directory asks for `own_notes`."""
    forget_all_but_the_directory(cluster, populated)
    made = opened(cluster, issuer, populated)
    yield made
    await made.close()


@pytest.fixture
async def own_notes(cluster: Cluster, issuer: TestIssuer, populated: str) -> AsyncIterator[Harness]:
    """The same on a database of the test's own."""
    forget_all_but_the_directory(cluster, populated)
    name = cluster.create(template=populated)
    made = opened(cluster, issuer, name)
    yield made
    await made.close()
    cluster.drop(name)
