"""The Broker protocol: what every broker promises, whatever it is made of.

Within one partition messages keep their order and have gap-free, rising offsets. A group reads every message of its
topics at least once, each partition by one member at a time. Where a member begins is not the broker's business: it
seeks to the offset that its own store names. A late group finds everything that retention has kept.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contracts import Topic


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `value` None is a tombstone: compaction forgets the key."""

    topic: str
    partition: int
    key: str
    value: bytes | None
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Message:
    """A message as read. `at` is when the broker took it in."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    headers: dict[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class TopicPartition:
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive messages of one partition. `next_offset` is where reading goes on afterwards: past the last message
    and past whatever compaction or retention has taken away behind it."""

    source: TopicPartition
    messages: list[Message]
    next_offset: int


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """Of a group in all partitions of a topic: the sum of the offsets it has committed, and how many messages wait."""

    handled_offset: int
    waiting: int


class Reader(Protocol):
    """One member of a group."""

    def assignment(self) -> set[TopicPartition]:
        """The partitions this member reads now. A partition that is new in it delivers nothing until `seek`."""
        ...

    async def seek(self, source: TopicPartition, offset: int) -> None:
        """The next message of the partition is the first with this offset or a later one."""
        ...

    async def fetch(self, *, max_messages: int, wait_seconds: float) -> list[Batch]:
        """At most one batch a partition, oldest first; empty after `wait_seconds` without news. Partitions that lie
        behind are served in turn, so that a busy one does not starve the others."""
        ...

    async def report_offset(self, source: TopicPartition, next_offset: int) -> None:
        """Tells the broker how far the group is, for lag figures only."""
        ...


class Broker(Protocol):
    async def declare(self, topics: Sequence[Topic]) -> None:
        """Creates the topics that are missing. Raises ValueError when one exists with other partitions, or, where the
        broker can tell, is kept otherwise."""
        ...

    def count_partitions(self, topic: str) -> int:
        """How many partitions a declared topic has. Raises ValueError when it has not been declared here."""
        ...

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all are durable. Messages of one partition keep their order. Raises ConnectionError when the
        broker cannot be reached; some of the messages may have been taken in all the same."""
        ...

    def join(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Reader]:
        """Enters the group as a member, leaves it on exit. Another member takes over the partitions within seconds,
        also when this one was killed."""
        ...

    async def lag(self, group: str) -> dict[TopicPartition, int]:
        """How many messages the group has not committed yet, by partition, of every topic it has ever committed."""
        ...

    async def load_progress(self, topic: str, groups: Sequence[str]) -> dict[str, GroupProgress]:
        """How far each of these groups is. A group that has never committed anything of the topic is left out. What
        members report is seen here within a fifth of a second or so."""
        ...

    def read_to_end(self, topic: str, *, from_offset: int = 0) -> AsyncIterator[Message]:
        """What a topic holds, partition by partition, for tools and tests; ends at the present end."""
        ...
