import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from messaging.broker import Broker, Outgoing
from messaging.kafka import KafkaBroker
from testkit.pacing_conformance import PacingConformance
from testkit.programs.kafka import Kafka

SENTINEL = "sentinel"


class TestKafka(PacingConformance):
    member_factory = "messaging.kafka:KafkaBroker"
    member_options = {"session_seconds": 3}

    @pytest.fixture(autouse=True)
    def started(self, kafka_program: Kafka) -> None:
        self.kafka = kafka_program

    def address(self) -> str:
        return self.kafka.address

    def connect(self) -> AbstractAsyncContextManager[Broker]:
        return KafkaBroker(self.kafka.address, session_seconds=3)

    async def restart(self) -> None:
        await asyncio.to_thread(self.kafka.stop)
        self.kafka.launch()
        await asyncio.to_thread(self.kafka.wait)

    async def compact(self, broker: Broker, topic: str, now: datetime) -> None:
        """The cleaner takes a segment that is closed; one is closed when a message comes that is so much younger. It has
        cleaned what lies before the sentinel when the sentinel is gone: for later than now a tombstone, which goes as the
        tombstones before it do."""
        later = now > datetime.now(UTC)
        config = {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.0", "cleanup.policy": "compact"}
        config["delete.retention.ms"] = "0" if later else "86400000"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
        await admin.start()
        try:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])
        finally:
            await admin.close()
        sentinel = f"{SENTINEL} {later}"
        await broker.publish([Outgoing(topic, 0, sentinel, None if later else b"first")])
        (first,) = [message.offset async for message in broker.read_to_end(topic) if message.key == sentinel]
        async with asyncio.timeout(60):
            while first in [message.offset async for message in broker.read_to_end(topic)]:
                await asyncio.sleep(0.2)  # sleep: the broker compacts when it likes; each try sends a message
                await broker.publish([Outgoing(topic, 0, f"{SENTINEL} filler" if later else sentinel, b"more")])
