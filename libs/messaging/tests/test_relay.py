import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from contracts import Topic, new_id
from messaging.broker import Outgoing
from messaging.log_table import LogTableBroker
from messaging.relay import Relay
from testkit import wait_until_true
from testkit.broker_conformance import make_messages

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Tray:
    """An outbox without a database. Fails as often as told, before or after publishing."""

    def __init__(self) -> None:
        self.pending: list[Outgoing] = []
        self.failures: list[tuple[str, Exception]] = []

    async def publish_pending(
        self, publish: Callable[[list[Outgoing]], Awaitable[None]], capacity: Mapping[str, int]
    ) -> int:
        batch = self.pending[:3]
        if not batch:
            return 0
        when, error = self.failures.pop(0) if self.failures else ("", None)
        if error and when == "before":
            raise error
        await publish(batch)
        if error:
            raise error
        del self.pending[:3]
        return len(batch)

    async def oldest_written_at(self) -> datetime | None:
        return NOW if self.pending else None


async def until_empty(tray: Tray) -> None:
    await wait_until_true(lambda: not tray.pending)


async def test_publishes_all_in_order_wakes_at_once_and_loses_nothing(broker: LogTableBroker) -> None:
    topic = f"test.{new_id()}"
    await broker.declare([Topic(topic, "test", (), partitions=1)])
    tray = Tray()
    relay = Relay(broker, tray, "test", poll_seconds=30)
    stopping = asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    await asyncio.sleep(0.05)  # sleep: the relay has found nothing and waits to be woken

    tray.pending = make_messages(topic, 8)
    assert await relay.age_seconds(NOW + timedelta(seconds=5)) == 5
    relay.wake.set()
    await until_empty(tray)
    assert await relay.age_seconds(NOW) == 0

    # The second failure comes after publishing: the messages go out twice, and none is lost.
    tray.failures = [
        ("before", ConnectionError("gone")),
        ("after", ValueError("odd")),
        ("before", ConnectionError("no")),
    ]
    tray.pending = make_messages(topic, 4, first=8)
    relay.wake.set()
    await until_empty(tray)
    await wait_until_true(lambda: not relay.error)

    values = [int(message.value or b"") async for message in broker.read_to_end(topic)]
    assert values == [*range(8), 8, 9, 10, *range(8, 12)]
    assert relay.published == 12
    stopping.set()
    await asyncio.wait_for(running, 1)


async def test_says_why_it_fails_and_goes_on(broker: LogTableBroker) -> None:
    tray = Tray()
    tray.pending = [Outgoing("test.nowhere", 0, "key", b"")]
    relay = Relay(broker, tray, "test")
    stopping = asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    assert "test.nowhere" in await wait_until_true(lambda: relay.error, seconds=5)
    assert tray.pending
    await broker.declare([Topic("test.nowhere", "test", (), partitions=1)])
    await until_empty(tray)
    stopping.set()
    await asyncio.wait_for(running, 5)
