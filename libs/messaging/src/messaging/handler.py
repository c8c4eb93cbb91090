"""The consumer loop's handler protocol: effects and offsets in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from messaging.broker import Message, TopicPartition


class Fenced(Exception):
    """A stored offset is not its step's `expected`: another member has moved it. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class OffsetStep:
    """How one transaction moves a stored offset of a group: from `expected` to `next`."""

    group: str
    partition: TopicPartition
    expected: int
    next: int


class TransactionalHandler(Protocol):
    """Handles messages and stores the group's offsets, both in one transaction."""

    async def load_next_offset(self, group: str, partition: TopicPartition) -> int:
        """The stored offset, the next one to read; 0 when the group has never read the partition."""
        ...

    async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
        """Handles all messages and makes all steps, one per partition, in one transaction. Raises Fenced when a stored
        offset is not its step's `expected`, also for a step that does not move (`expected == next`)."""
        ...

    async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
        """Writes the complete message and its error to the dead letters and makes the step, in one transaction. Raises
        Fenced like `apply`."""
        ...
