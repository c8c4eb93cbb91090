"""A relay in a process of its own, to be killed: `relay_process.py DATABASE_URL SERVICE BOOTSTRAP_SERVERS`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from messaging.broker import Outgoing
from messaging.kafka import KafkaBroker
from messaging.relay import Relay
from storage import Outbox, Sessions, create_engine
from storage.outbox import OutboxRow


class RelayOutbox:
    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def publish_pending(
        self, publish: Callable[[list[Outgoing]], Awaitable[None]], capacity: Mapping[str, int]
    ) -> int:
        async def forward(rows: list[OutboxRow]) -> None:
            await publish(
                [Outgoing(row["topic"], row["partition"], row["key"], row["value"], row["headers"]) for row in rows]
            )

        return await self.outbox.publish_pending(forward, capacity)

    async def oldest_written_at(self) -> datetime | None:
        return await self.outbox.oldest_written_at()


async def main(url: str, service: str, address: str) -> None:
    engine = create_engine(url, schema=service)
    outbox = RelayOutbox(Outbox(Sessions(engine, service), most=20))
    async with KafkaBroker(address) as broker:
        await Relay(broker, outbox, service, poll_seconds=0.05).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
