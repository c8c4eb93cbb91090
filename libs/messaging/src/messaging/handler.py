"""What the consumer loop asks of whoever handles messages: effects and offsets in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from messaging.broker import Message, TopicPartition


class Fenced(Exception):
    """A stored offset is not where its step begins: somebody else has moved it. Nothing has been stored."""


@dataclass(frozen=True, slots=True)
class OffsetStep:
    """How one transaction moves a stored offset of a group: from `expected` to `next`."""

    group: str
    source: TopicPartition
    expected: int
    next: int


class TransactionalHandler(Protocol):
    async def load_next_offset(self, group: str, source: TopicPartition) -> int:
        """The stored offset: where the group goes on. 0 when it has never read the partition."""
        ...

    async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
        """Handles all messages and makes all steps, one a partition, in one transaction. Raises Fenced when a stored
        offset is not its step's `expected`. A step may stand still (`expected == next`) and is checked all the same."""
        ...

    async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
        """Writes the message whole, with its error, to the dead letters and makes the step, in one transaction. Raises
        Fenced like `apply`."""
        ...
