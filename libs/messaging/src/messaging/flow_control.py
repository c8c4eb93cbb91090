"""How much of a topic may be under way: published, and not yet handled by its readers.

What waits in an outbox can be shared out fairly between tenants. What is in the broker is first come, first served. So
no more is published than the readers handle in a moment, and a backlog waits where others can pass it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from messaging.broker import Broker, GroupProgress

TARGET_SECONDS = 0.3
"""The window is what a reader handles in this time. It must be well above what it takes to learn of its progress."""
MIN_WINDOW, INITIAL_WINDOW, MAX_WINDOW = 50, 500, 20_000
"""Messages of the window: at least, before a reader's speed or any reader is known, at most."""
REFRESH_SECONDS = 0.1
STALLED_SECONDS = 2.0
SMOOTHING_SECONDS = 1.0
GROWTH = 1.2


@dataclass(slots=True)
class _GroupThroughput:
    """How one group of readers gets on."""

    at: float
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
        """`held`: more would have been published since the last time, had there been room."""
        elapsed, moved = now - self.at, progress.handled_offset - self.progress.handled_offset
        if moved > 0 or not progress.waiting:
            self.moved_at = now
        # One that had nothing to do says nothing about its speed, nor does a long time that was not looked at.
        if self.progress.waiting and 0 < elapsed < STALLED_SECONDS:
            self.per_second += (moved / elapsed - self.per_second) * min(elapsed / SMOOTHING_SECONDS, 1.0)
        if was_blocked and not progress.waiting:
            self.per_second = min(self.per_second * GROWTH, MAX_WINDOW / TARGET_SECONDS)  # it could have done more
        self.at, self.progress = now, progress

    def keeps_up(self, now: float) -> bool:
        return now - self.moved_at < STALLED_SECONDS and self.progress.waiting < 4 * self.window


@dataclass(slots=True)
class FlowControl:
    """Of one topic. The slowest of the readers that keep up decides; one that stands still, or was away and has much to
    catch up with, holds up nobody else. When all are like that, the foremost decides. A topic that no group has ever
    read is held back by nobody."""

    broker: Broker
    topic: str
    groups: Sequence[str]
    capacity: int = 0
    """Messages that may be published now; below 0 when more are under way than should be."""
    _looked_at: float | None = None
    _paces: dict[str, _GroupThroughput] = field(default_factory=dict[str, _GroupThroughput])

    async def refresh_capacity(self) -> None:
        """Brings `room` up to date; asks the broker when there is little left of it, and not too often."""
        now = asyncio.get_running_loop().time()
        if self._looked_at is not None and (
            self.capacity > self._largest() / 2 or now - self._looked_at < REFRESH_SECONDS
        ):
            return
        self._looked_at = now
        held = self.capacity <= 0
        found = await self.broker.load_progress(self.topic, self.groups)
        for group, progress in found.items():
            if group in self._paces:
                self._paces[group].update(progress, now, was_blocked=held)
            else:
                self._paces[group] = _GroupThroughput(now, progress, now)
        for group in self._paces.keys() - found.keys():
            del self._paces[group]
        paces = list(self._paces.values())
        pacing = [each for each in paces if each.keeps_up(now)]
        pacing = pacing or sorted(paces, key=lambda each: each.progress.waiting)[:1]
        self.capacity = min([each.capacity for each in pacing], default=INITIAL_WINDOW)

    def record_published(self, count: int) -> None:
        """So many have been published."""
        self.capacity -= count

    def _largest(self) -> float:
        return max([each.window for each in self._paces.values()], default=INITIAL_WINDOW)
