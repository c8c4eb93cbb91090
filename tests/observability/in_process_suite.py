"""All seven services as one process of the runner, with its JSON log, on a PostgreSQL of the tests."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from all_in_one.suite import SERVICES
from contracts.directory import PLATFORM_TENANT, Login
from identity.actions import ensure_platform
from servicekit.wiring import LOG_TABLE_MIGRATIONS, migrate_schema
from storage import Sessions, create_engine
from testkit import ISSUER, Cluster, TestIssuer, wait_for
from testkit.programs import Program, free_port

from tests.flow.suite import Suite


class InProcessSuite(Suite):
    """An account is a login of the test issuer: the user's name is its `sub`."""

    def __init__(self, cluster: Cluster, issuer: TestIssuer, database: str, folder: Path, keys: str) -> None:
        self.database = cluster.server.url(database=database)
        self.port = free_port()
        self._issuer = issuer
        self._settings = cluster.settings(database)
        self._settings.partitions = 1
        self.program = Program(
            "Uplift",
            [sys.executable, "-m", "servicekit", "api", "work", "--host", "127.0.0.1", "--port", str(self.port)],
            log=folder / "uplift.log",
            ready=self._ready,
            env={
                "UPLIFT_DATABASE_URL": self._settings.database_url,
                "UPLIFT_DATABASE_POOL": "2",
                "UPLIFT_PARTITIONS": "1",
                "UPLIFT_ISSUER": ISSUER,
                "UPLIFT_JWKS_URL": keys,
                "UPLIFT_LOG_FORMAT": "json",
            },
            seconds=90,
        )

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"http://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    async def prepare(self) -> None:
        """The broker's tables, and the first admin of the platform."""
        migrate_schema(LOG_TABLE_MIGRATIONS, self._settings)
        engine = create_engine(self._settings.database_url.replace("{role}", "identity"), schema="identity")
        async with Sessions(engine, "identity", partitions=1).begin(
            [PLATFORM_TENANT], now=datetime.now(UTC)
        ) as session:
            await ensure_platform(session, login=Login(iss=ISSUER, sub="platform"))
        await engine.dispose()

    def wait_until_the_platform_is_known(self) -> None:
        wait_for(lambda: self.request("platform", "GET", "/api/identity/v1/tenants").is_success, seconds=60)
        self.wait_until_idle()

    def token(self, username: str) -> str:
        tenant = PLATFORM_TENANT if username == "platform" else (username.partition(".")[2] or "t1")
        return self._issuer.token(username, tenant)

    def create_account(self, username: str, tenant: str) -> str:
        return username

    def lag(self) -> dict[str, dict[str, int]]:
        return httpx.get(f"{self.url}/lag", timeout=30).json()

    def read_log(self) -> list[dict[str, Any]]:
        """Its log, a record a line."""
        whole_lines, _, _ = self.program.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole_lines.splitlines()]


@contextmanager
def start_in_process_suite(cluster: Cluster, issuer: TestIssuer, folder: Path) -> Iterator[InProcessSuite]:
    with cluster.database(SERVICES) as database, _keys_of(issuer) as keys:
        made = InProcessSuite(cluster, issuer, database, folder, keys)
        asyncio.run(made.prepare())
        made.program.start()
        try:
            made.wait_until_the_platform_is_known()
            yield made
        finally:
            made.program.stop()


@contextmanager
def _keys_of(issuer: TestIssuer) -> Iterator[str]:
    """Where the issuer's keys are answered."""
    keys = json.dumps({"keys": [issuer.key.as_dict(private=False)]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
        finally:
            server.shutdown()
            thread.join()
