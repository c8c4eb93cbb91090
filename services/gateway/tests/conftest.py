"""A real Envoy with what it needs behind it."""

import json
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway.bootstrap import render
from gateway.settings import GatewaySettings
from testkit import AUDIENCE, ISSUER, TestIssuer
from testkit.fixtures.envoy import envoy_binary as envoy_binary
from testkit.programs import Program, free_port
from testkit.programs.envoy import Envoy
from testkit.programs.program import is_listening


@dataclass
class Upstream:
    """`address` is `host:port`."""

    address: str
    program: Program

    def hits(self) -> dict[str, int]:
        return httpx.get(f"http://{self.address}/hits").json()


Started = Callable[..., Upstream]
Gateways = Callable[..., Envoy]


@pytest.fixture(scope="session")
def upstream_for(tmp_path_factory: pytest.TempPathFactory, issuer: TestIssuer) -> Iterator[Started]:
    """`upstream_for(name)`: a process that plays services."""
    folder = tmp_path_factory.mktemp("upstreams")
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [issuer.key.as_dict(private=False)]}))
    with ExitStack() as stack:

        def start(name: str) -> Upstream:
            port = free_port()
            program = Program(
                name,
                [sys.executable, Path(__file__).with_name("upstream.py"), name, str(port), keys],
                log=folder / f"{name}.log",
                ready=lambda: is_listening(port),
            )
            stack.callback(program.kill)
            program.start()
            return Upstream(f"127.0.0.1:{port}", program)

        yield start


@pytest.fixture(scope="session")
def upstream(upstream_for: Started) -> Upstream:
    """One replica of everything."""
    return upstream_for("one")


@pytest.fixture(scope="session")
def gateway_for(tmp_path_factory: pytest.TempPathFactory, envoy_binary: str, upstream: Upstream) -> Iterator[Gateways]:
    """`gateway_for(**settings)`: an Envoy before `upstream`, or before what the settings say."""
    allow_many_connections()
    with ExitStack() as stack:

        def start(**overrides: Any) -> Envoy:
            settings = settings_for(upstream, **overrides)
            folder = tmp_path_factory.mktemp("envoy")
            envoy = Envoy(render(settings), folder=folder, port=settings.port, admin_port=settings.admin_port)
            stack.callback(envoy.kill)
            envoy.start()
            return envoy

        yield start


def allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture(scope="session")
def make_settings(upstream: Upstream) -> Callable[..., GatewaySettings]:
    return lambda **overrides: settings_for(upstream, **overrides)


def settings_for(upstream: Upstream, **overrides: Any) -> GatewaySettings:
    values: dict[str, Any] = {
        "port": free_port(),
        "admin_port": free_port(),
        "upstream": f"http://{upstream.address}",
        "page": upstream.address,
        "provider": upstream.address,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "origins": ("https://portal.test",),
        "health_seconds": 0.2,
    }
    return GatewaySettings(**{**values, **overrides})


@pytest.fixture(scope="session")
def gateway(gateway_for: Gateways) -> Envoy:
    """With the limits as they are by default."""
    return gateway_for()


@pytest.fixture
def bearer(issuer: TestIssuer) -> dict[str, str]:
    return {"authorization": f"Bearer {issuer.token('ada', 'acme')}"}


@pytest_asyncio.fixture
async def client(gateway: Envoy, bearer: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody of tenant `acme` before the ordinary gateway."""
    async with httpx.AsyncClient(base_url=gateway.url, headers=bearer, timeout=20) as made:
        yield made
