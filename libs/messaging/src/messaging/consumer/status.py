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
    last_transient_error: str | None = None
    """The error that the consumer is retrying after; None once a poll has succeeded and no partition is in back-off."""
    handled: int = 0
    buried: int = 0
    last_poll_at: datetime | None = None
    """When the last poll began, with or without messages, also while the broker or the database is unreachable. If this is
    long ago, a batch or the event loop hangs."""
    assigned: frozenset[TopicPartition] = frozenset()
    oldest_unhandled_at: dict[TopicPartition, datetime] = field(default_factory=dict[TopicPartition, datetime])
    """Partition → a time, by the broker's clock, before which no unhandled message was stored. After a batch it is the time
    of the last handled message, although nothing may wait any more; a fetch that finds nothing in the partition removes it,
    within about a second."""

    def lag_seconds(self, now: datetime) -> float:
        """The greatest age that an unhandled message may have, in seconds; 0 when none waits. Until the next fetch after a
        batch, it is not 0 even when all is handled."""
        return max([(now - at).total_seconds() for at in self.oldest_unhandled_at.values()] + [0.0])
