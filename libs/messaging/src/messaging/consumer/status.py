"""How a consumer is doing."""

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
    """Start of the last poll, with or without messages, also while the broker or the database is unreachable. For a
    watchdog: if it is long past, a batch hangs or the loop does."""
    assigned: frozenset[TopicPartition] = frozenset()
    waiting_since: dict[TopicPartition, datetime] = field(default_factory=dict[TopicPartition, datetime])
    """By partition that lags: when the broker received the next message to handle."""

    def lag_seconds(self, now: datetime) -> float:
        """Age of the oldest message known to wait, in seconds; 0 when none waits."""
        return max([(now - at).total_seconds() for at in self.waiting_since.values()] + [0.0])
