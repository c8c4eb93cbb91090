"""The services as values, found by the names that the topics know them by; and the real stack, started once."""

import asyncio
from collections.abc import Iterator, Sequence
from importlib import import_module

import httpx
import pytest
from contracts import ALL_SERVICES
from fastapi import FastAPI
from servicekit import PlatformSettings, Service
from servicekit.tokens import TokenVerifier
from servicekit.wiring import build_service, create_service_app
from storage import schema_name
from testkit.fixtures import started_or_skipped
from testkit.stack import Stack

from tests.flow.stack import StackSuite
from tests.flow.suite import Embedded

# A test is one client of one tenant: what holds it back would measure the limit and not what is behind it.
UNLIMITED = {
    f"GATEWAY_{who}_{what}": "100000" for who in ("TENANT", "ADDRESS") for what in ("RATE", "BURST")
}  # fmt: skip


@pytest.fixture(scope="session")
def services() -> Sequence[Service]:
    return [import_module(f"{schema_name(name)}.service").service for name in ALL_SERVICES]


@pytest.fixture(scope="session")
def apps(services: Sequence[Service]) -> dict[str, FastAPI]:
    """The services' HTTP doors, without a database behind them."""

    async def build() -> dict[str, FastAPI]:
        settings = PlatformSettings()
        async with httpx.AsyncClient() as http:
            verifier = TokenVerifier(http, issuer=settings.issuer, audience=settings.audience)
            parts = {"http": http, "verifier": verifier, "stopping": asyncio.Event()}
            return {each.name: create_service_app(build_service(each, settings, **parts)) for each in services}  # pyright: ignore[reportArgumentType]

    return asyncio.run(build())


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything as plain processes, ingest's API twice. Takes most of a minute, so all share it: whoever breaks a part
    mends it."""
    made = Stack(tmp_path_factory.mktemp("stack"), replicas={"ingest.api": 2}, environment=UNLIMITED, prometheus=True)
    try:
        started_or_skipped(made.start)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def on_stack(stack: Stack) -> Iterator[StackSuite]:
    """Its users and calls."""
    made = StackSuite(stack)
    yield made
    made.close()


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A started suite without tenants. Starting takes seconds, so all share it, and each makes tenants of its own."""
    suite = Embedded(tmp_path_factory.mktemp("suite") / "data")
    suite.start("--no-demo")
    try:
        suite.set_platform_password()
        yield suite
    finally:
        suite.stop()
