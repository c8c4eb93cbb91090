"""The pytest plugin: fixtures with real parts."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from servicekit.service_definition import Service

from testkit.harness import Harness, harness
from testkit.postgres import Cluster, started_cluster
from testkit.tokens import TestIssuer

pytest_plugins = [f"testkit.fixtures.{each}" for each in ("kafka", "mongodb", "keycloak", "envoy", "prometheus")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One real PostgreSQL for this test process."""
    with started_cluster() as started:
        yield started


@pytest.fixture(scope="session")
def issuer() -> TestIssuer:
    """The issuer whose tokens every harness of this test process accepts."""
    return TestIssuer()


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database, which is dropped after the test."""
    with cluster.database() as name:
        yield name


@pytest_asyncio.fixture
async def harness_for(cluster: Cluster, issuer: TestIssuer) -> AsyncIterator[Callable[..., Awaitable[Harness]]]:
    """`await harness_for(service, **settings)`: the service on a database of its own, until the test ends."""
    async with AsyncExitStack() as stack:

        async def make(service: Service, **settings: Any) -> Harness:
            return await stack.enter_async_context(harness(service, cluster, issuer, **settings))

        yield make
