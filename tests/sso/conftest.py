"""Both providers, each started once for the session and only where a test asks."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from forms.service import service as forms
from identity.service import service as identity
from messaging.log_table import LogTableBroker
from psycopg import sql
from servicekit import Service
from servicekit.run import build_broker_dsn
from servicekit.settings import PlatformSettings
from servicekit.wiring import migrate_all
from storage import ensure_schema
from testkit import Cluster
from testkit.fixtures.keycloak import RunningKeycloak

from tests.sso.browser import Browser
from tests.sso.environments import PASSWORD, EmbeddedEnvironment, KeycloakEnvironment, SsoEnvironment

SERVICES: Sequence[Service] = (identity, forms)


def prepare_broker(settings: PlatformSettings, database: str) -> None:
    admin_url = settings.admin_database_url or ""
    ensure_schema(admin_url, "broker", role="broker")
    with psycopg.connect(admin_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO broker").format(sql.Identifier(database)))

    async def prepare() -> None:
        async with LogTableBroker(build_broker_dsn(settings), partitions=settings.partitions) as broker:
            await broker.prepare()

    asyncio.run(prepare())


@pytest.fixture(scope="session")
def keycloak_world(
    keycloak: RunningKeycloak, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeycloakEnvironment]:
    """A realm of its own, provisioned; identity and forms as a process; tenant `acme` with ada, whose password is
    PASSWORD."""
    with cluster.database(SERVICES) as database, ExitStack() as stack:
        settings = cluster.settings(database)
        migrate_all(SERVICES, settings)
        prepare_broker(settings, database)
        world = KeycloakEnvironment(keycloak, settings, Path(tmp_path_factory.mktemp("sso")))
        stack.callback(world.server.stop)
        world.prepare()
        yield world


@pytest.fixture(scope="session")
def embedded_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEnvironment]:
    """The embedded shape with tenant `acme` and ada, whose password is PASSWORD."""
    world = EmbeddedEnvironment(tmp_path_factory.mktemp("embedded"))
    try:
        world.prepare()
        yield world
    finally:
        world.suite.stop()


@pytest.fixture(params=["embedded", "keycloak"])
def world(request: pytest.FixtureRequest) -> SsoEnvironment:
    return request.getfixturevalue(f"{request.param}_world")


@pytest.fixture
def new_browser() -> Iterator[Callable[[], Browser]]:
    with ExitStack() as stack:

        def make() -> Browser:
            browser = Browser()
            stack.callback(browser.close)
            return browser

        yield make


@pytest.fixture
def browser(new_browser: Callable[[], Browser]) -> Browser:
    return new_browser()


TYPED = {"username": "ada", "password": PASSWORD}
