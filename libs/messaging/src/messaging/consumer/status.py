"""The status of a consumer."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from messaging.broker import TopicPartition


@dataclass(slots=True)
class ConsumerStatus:
    """State of one consumer, for readiness probes and metrics."""

    state: Literal["idle", "running", "stopped", "failed"] = "idle"
    error: str | None = None
    """Why the consumer failed. It stays stopped until somebody starts it again."""
    retrying: str | None = None
    """The error that the consumer is retrying after; None when it is not retrying."""
    handled: int = 0
    buried: int = 0
    last_poll_at: datetime | None = None
    """When the last poll began, with or without messages, also while the broker or the database is unreachable. If this is
    long ago, a batch or the event loop hangs."""
    assigned: frozenset[TopicPartition] = frozenset()
    waiting_since: dict[TopicPartition, datetime] = field(default_factory=dict[TopicPartition, datetime])
    """Partition with waiting messages → when the broker stored the next one to handle."""

    def lag_seconds(self, now: datetime) -> float:
        """Age of the oldest message known to wait, in seconds; 0 when none waits."""
        return max([(now - at).total_seconds() for at in self.waiting_since.values()] + [0.0])
