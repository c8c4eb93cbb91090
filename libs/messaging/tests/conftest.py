import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from messaging.log_table import LogTableBroker
from servicekit.wiring import LOG_TABLE_MIGRATIONS
from storage import ensure_schema, migrate
from storage.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One of our own: these tests stop it and kill its processes."""
    with tempfile.TemporaryDirectory(prefix="uplift-broker-", ignore_cleanup_errors=True) as folder:
        with EmbeddedPostgres(Path(folder) / "data", durable=False) as server:
            ensure_schema(server.url(), "broker", role="broker")
            migrate(server.url(), LOG_TABLE_MIGRATIONS)
            yield server


@pytest.fixture
async def broker(postgres: EmbeddedPostgres) -> AsyncIterator[LogTableBroker]:
    async with LogTableBroker(postgres.dsn) as broker:
        yield broker
