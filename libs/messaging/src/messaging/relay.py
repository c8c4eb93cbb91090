"""From the outbox to the broker: publishes what transactions have recorded, until it is delivered."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from contracts import TOPICS

from messaging.broker import Broker, Outgoing
from messaging.flow_control import REFRESH_SECONDS, FlowControl
from messaging.retry import Backoff, is_transient, wait_for_any

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
PACE_SECONDS = 0.05


class Outbox(Protocol):
    async def publish_pending(
        self, publish: Callable[[list[Outgoing]], Awaitable[None]], capacity: Mapping[str, int]
    ) -> int:
        """Takes pending messages of the partitions that no other relay is at, one tenant's turn after the other's, each
        tenant's oldest first; of the topics that `room` names at most so many, and a few more of tenants that have only
        a few. Hands them to `publish` and marks them
        delivered when it returns. Returns how many; 0 when none is left for this relay. When it raises, the messages
        stay pending."""
        ...

    async def oldest_written_at(self) -> datetime | None:
        """When the oldest pending message was recorded."""
        ...


class Relay:
    """Publishes one service's outbox. `error` says why the last attempt failed, None after one that succeeded. Set
    `wake` after a commit that recorded messages; the relay also looks by itself every `poll_seconds`."""

    def __init__(self, broker: Broker, outbox: Outbox, service: str, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.wake = asyncio.Event()
        self.published = 0
        self.error: str | None = None
        self._broker = broker
        self._outbox = outbox
        self._service = service
        self._poll_seconds = poll_seconds
        self._windows = {
            topic.name: FlowControl(broker, topic.name, topic.readers)
            for topic in TOPICS.values()
            if topic.writer == service
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set. A failure of any kind is tried again, later and later: nothing is dropped."""
        backoff = Backoff()
        while not stopping.is_set():
            began = asyncio.get_running_loop().time()
            self.wake.clear()  # before looking, so that what is recorded meanwhile wakes us again
            try:
                count = await self._publish()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                wait = backoff.next_delay_seconds()
                log.warning(
                    "Relay of %s: next try in %.1f s after %s",
                    self._service,
                    wait,
                    self.error,
                    exc_info=not is_transient(error),
                )
                await wait_for_any(wait, stopping)
            else:
                self.published += count
                self.error = None
                backoff.reset()
                if not count:
                    held = any(window.capacity <= 0 for window in self._windows.values())
                    await wait_for_any(REFRESH_SECONDS if held else self._poll_seconds, stopping, self.wake)
                # The first goes at once, those that follow it together.
                await wait_for_any(began + PACE_SECONDS - asyncio.get_running_loop().time(), stopping)

    async def _publish(self) -> int:
        async def publish(messages: Sequence[Outgoing]) -> None:
            await self._broker.publish(messages)
            for topic, count in Counter(each.topic for each in messages).items():
                if topic in self._windows:
                    self._windows[topic].record_published(count)

        for window in self._windows.values():
            await window.refresh_capacity()
        return await self._outbox.publish_pending(
            publish, {topic: window.capacity for topic, window in self._windows.items()}
        )

    async def age_seconds(self, now: datetime) -> float:
        """How long the oldest message has been waiting; 0 when none is."""
        oldest = await self._outbox.oldest_written_at()
        return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
