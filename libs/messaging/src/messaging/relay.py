"""The relay publishes the events of an outbox to the broker, and retries until they are delivered."""

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
MIN_PASS_SECONDS = 0.05


class Outbox(Protocol):
    """The outbox of one service."""

    async def publish_pending(
        self, publish: Callable[[list[Outgoing]], Awaitable[None]], capacity: Mapping[str, int]
    ) -> int:
        """Calls `publish` with pending messages and marks them delivered when it returns. Returns how many; 0 when there are
        none for this relay. When `publish` raises, the messages stay pending.

        Takes partitions that no other relay is publishing. Tenants take turns, each with its oldest messages first. For the
        topics in `capacity`, takes at most so many messages, and a few more of tenants that have only a few."""
        ...

    async def oldest_written_at(self) -> datetime | None:
        """When the oldest pending message was written; None when there is none."""
        ...


class Relay:
    """Publishes one service's outbox. `error`: why the last pass failed; None after a success. Set `wake` after a commit that
    wrote messages; the relay also polls every `poll_seconds`."""

    def __init__(self, broker: Broker, outbox: Outbox, service: str, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.wake = asyncio.Event()
        self.published = 0
        self.error: str | None = None
        self._broker = broker
        self._outbox = outbox
        self._service = service
        self._poll_seconds = poll_seconds
        self._flow_controls = {
            topic.name: FlowControl(broker, topic.name, topic.readers)
            for topic in TOPICS.values()
            if topic.writer == service
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Publishes until `stopping` is set. Retries every error with growing delays; no message is dropped."""
        backoff = Backoff()
        while not stopping.is_set():
            began = asyncio.get_running_loop().time()
            self.wake.clear()  # before reading, so that messages written meanwhile wake the relay again
            try:
                count = await self._publish()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                wait = backoff.next_delay_seconds()
                log.warning(
                    "Relay of %s: next attempt in %.1f s after %s",
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
                    blocked = any(control.capacity <= 0 for control in self._flow_controls.values())
                    await wait_for_any(REFRESH_SECONDS if blocked else self._poll_seconds, stopping, self.wake)
                # A first message is published at once, those that follow within MIN_PASS_SECONDS together.
                await wait_for_any(began + MIN_PASS_SECONDS - asyncio.get_running_loop().time(), stopping)

    async def _publish(self) -> int:
        async def publish(messages: Sequence[Outgoing]) -> None:
            await self._broker.publish(messages)
            for topic, count in Counter(each.topic for each in messages).items():
                if topic in self._flow_controls:
                    self._flow_controls[topic].record_published(count)

        for control in self._flow_controls.values():
            await control.refresh_capacity()
        return await self._outbox.publish_pending(
            publish, {topic: control.capacity for topic, control in self._flow_controls.items()}
        )

    async def age_seconds(self, now: datetime) -> float:
        """Seconds since the oldest pending message was written; 0 when there is none."""
        oldest = await self._outbox.oldest_written_at()
        return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
