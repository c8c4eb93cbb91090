"""The Broker protocol: the guarantees of every broker.

Within a partition, messages keep their order, and their offsets increase without gaps. A group reads every message of its
topics at least once; only one member at a time reads a partition. The broker does not decide where a member begins: the
member seeks to the offset in its own store. A new group can read everything within retention.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contracts import Topic


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `value` None is a tombstone: compaction deletes the key."""

    topic: str
    partition: int
    key: str
    value: bytes | None
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read. `at`: when the broker stored it."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    headers: dict[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """One partition of a topic, numbered from 0."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive messages of one partition. `next_offset`: where reading continues, after the last message and after
    what compaction or retention has deleted behind it."""

    partition: TopicPartition
    messages: list[Message]
    next_offset: int


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """A group's progress in a topic: the sum of its committed offsets over all partitions, and how many messages wait."""

    handled_offset: int
    waiting: int


class Reader(Protocol):
    """One member of a group."""

    def assignment(self) -> set[TopicPartition]:
        """The partitions that this member reads now. A newly assigned partition delivers nothing until `seek`."""
        ...

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continues the partition at the first message with this offset or a later one."""
        ...

    async def fetch(self, *, max_messages: int, wait_seconds: float) -> list[Batch]:
        """At most one batch per partition, oldest first; empty after `wait_seconds` without messages. Partitions with
        messages take turns, so that a busy one does not starve the others. Raises ConnectionError."""
        ...

    async def report_offset(self, partition: TopicPartition, next_offset: int) -> None:
        """Reports the group's progress to the broker. Used only to measure lag."""
        ...


class Broker(Protocol):
    """A message broker with partitioned topics and consumer groups."""

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Creates the missing topics. Raises ValueError when a topic exists with another number of partitions or, if the
        broker can check it, another configuration."""
        ...

    def count_partitions(self, topic: str) -> int:
        """The number of partitions of a declared topic. Raises ValueError when this process has not declared it."""
        ...

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all messages are durable. Messages of one partition keep their order. Raises ConnectionError when the
        broker cannot be reached; some messages may have been stored nevertheless."""
        ...

    def join(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Reader]:
        """Joins the group as a member, and leaves it on exit. Another member takes over the partitions within seconds, also
        when this one is killed."""
        ...

    async def lag(self, group: str) -> dict[TopicPartition, int]:
        """Partition → messages that the group has not committed, for every topic that it has ever committed."""
        ...

    async def load_progress(self, topic: str, groups: Sequence[str]) -> dict[str, GroupProgress]:
        """Group → its progress in the topic. A group that has never committed the topic is left out. Reported offsets are
        included after about 0.2 seconds."""
        ...

    def read_to_end(self, topic: str, *, from_offset: int = 0) -> AsyncIterator[Message]:
        """Yields the messages of a topic, partition by partition, up to its end at the time of the call. For tools and
        tests."""
        ...
