from contextlib import AbstractAsyncContextManager
from datetime import datetime

import pytest
from messaging.broker import Broker
from messaging.log_table import LogTableBroker
from storage.embedded import EmbeddedPostgres
from testkit.pacing_conformance import PacingConformance


class TestLogTable(PacingConformance):
    member_factory = "messaging.log_table:LogTableBroker"

    @pytest.fixture(autouse=True)
    def prepared(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres

    def address(self) -> str:
        return self.postgres.dsn

    def connect(self) -> AbstractAsyncContextManager[Broker]:
        return LogTableBroker(self.postgres.dsn)

    async def restart(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    async def compact(self, broker: Broker, topic: str, now: datetime) -> None:
        assert isinstance(broker, LogTableBroker)
        await broker.apply_retention(now)
