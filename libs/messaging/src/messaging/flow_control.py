"""Limits how many messages of a topic are in flight: published, and not yet handled by its readers.

Outbox rows can be published fairly between tenants. Messages in the broker are handled in their order. So only as many
messages are published as the readers handle in a moment, and a tenant's backlog waits in the outbox, where other tenants'
events can overtake it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from messaging.broker import Broker, GroupProgress

TARGET_SECONDS = 0.3
"""The window is the number of messages that a reader handles in this time. Must be well above the delay of progress reports."""
MIN_WINDOW, INITIAL_WINDOW, MAX_WINDOW = 50, 500, 20_000
"""The window in messages: the minimum, the value before a reader's speed is known, and the maximum."""
REFRESH_SECONDS = 0.1
STALLED_SECONDS = 2.0
SMOOTHING_SECONDS = 1.0
GROWTH = 1.2


@dataclass(slots=True)
class _GroupThroughput:
    """The measured throughput of one group of readers. Times are of the event loop's clock."""

    measured_at: float
    progress: GroupProgress
    moved_at: float
    per_second: float = INITIAL_WINDOW / TARGET_SECONDS

    @property
    def window(self) -> float:
        return min(max(self.per_second * TARGET_SECONDS, MIN_WINDOW), MAX_WINDOW)

    @property
    def capacity(self) -> int:
        return int(self.window) - self.progress.waiting

    def update(self, progress: GroupProgress, now: float, *, was_blocked: bool) -> None:
        """Updates the throughput from the group's new progress. `was_blocked`: the window was full, so that flow control held
        messages back since the last update."""
        elapsed, moved = now - self.measured_at, progress.handled_offset - self.progress.handled_offset
        if moved > 0 or not progress.waiting:
            self.moved_at = now
        # A group without work, or a long interval without a measurement, says nothing about the speed.
        if self.progress.waiting and 0 < elapsed < STALLED_SECONDS:
            self.per_second += (moved / elapsed - self.per_second) * min(elapsed / SMOOTHING_SECONDS, 1.0)
        if was_blocked and not progress.waiting:
            self.per_second = min(self.per_second * GROWTH, MAX_WINDOW / TARGET_SECONDS)  # it could have handled more
        self.measured_at, self.progress = now, progress

    def keeps_up(self, now: float) -> bool:
        return now - self.moved_at < STALLED_SECONDS and self.progress.waiting < 4 * self.window


@dataclass(slots=True)
class FlowControl:
    """The flow control of one topic. The slowest group that keeps up limits publishing. A group that has stalled, or has a
    large backlog after a pause, does not limit it. If no group keeps up, the one with the fewest waiting messages does. A
    topic that no group has ever read is not limited by a group."""

    broker: Broker
    topic: str
    groups: Sequence[str]
    capacity: int = 0
    """The messages that may be published now; below 0 when too many are in flight."""
    _refreshed_at: float | None = None
    _throughputs: dict[str, _GroupThroughput] = field(default_factory=dict[str, _GroupThroughput])

    async def refresh_capacity(self) -> None:
        """Updates `capacity`. Asks the broker only when less than half of the window is left, and not more often than every
        REFRESH_SECONDS."""
        now = asyncio.get_running_loop().time()
        if self._refreshed_at is not None and (
            self.capacity > self._largest_window() / 2 or now - self._refreshed_at < REFRESH_SECONDS
        ):
            return
        self._refreshed_at = now
        was_blocked = self.capacity <= 0
        found = await self.broker.load_progress(self.topic, self.groups)
        for group, progress in found.items():
            if group in self._throughputs:
                self._throughputs[group].update(progress, now, was_blocked=was_blocked)
            else:
                self._throughputs[group] = _GroupThroughput(now, progress, now)
        for group in self._throughputs.keys() - found.keys():
            del self._throughputs[group]
        throughputs = list(self._throughputs.values())
        limiting = [each for each in throughputs if each.keeps_up(now)]
        limiting = limiting or sorted(throughputs, key=lambda each: each.progress.waiting)[:1]
        self.capacity = min([each.capacity for each in limiting], default=INITIAL_WINDOW)

    def record_published(self, count: int) -> None:
        """Subtracts `count` published messages from the capacity."""
        self.capacity -= count

    def _largest_window(self) -> float:
        return max([each.window for each in self._throughputs.values()], default=INITIAL_WINDOW)
