"""Both providers, each started once for the session and only where a test asks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from forms.service import service as forms
from identity.service import service as identity
from servicekit import Service
from servicekit.wiring import LOG_TABLE_MIGRATIONS, migrate_all, migrate_schema
from testkit import Cluster
from testkit.fixtures.keycloak import RunningKeycloak

from tests.sso.browser import Browser
from tests.sso.environments import PASSWORD, EmbeddedEnvironment, KeycloakEnvironment, SsoEnvironment

SERVICES: Sequence[Service] = (identity, forms)


@pytest.fixture(scope="session")
def keycloak_world(
    keycloak: RunningKeycloak, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeycloakEnvironment]:
    """A realm of its own, provisioned; identity and forms as a process; tenant `acme` with ada, whose password is
    PASSWORD."""
    with cluster.database(SERVICES) as database, ExitStack() as stack:
        settings = cluster.settings(database)
        migrate_all(SERVICES, settings)
        migrate_schema(LOG_TABLE_MIGRATIONS, settings)
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
