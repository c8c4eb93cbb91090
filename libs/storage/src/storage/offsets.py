"""A consumer's offset in every partition, moved by compare-and-set in the transaction of the effect."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import text

from storage.session import Session
from storage.sessions import Sessions


class OffsetConflict(Exception):
    """A stored offset is not the expected one: another consumer has handled this batch."""


class OffsetUpdate(NamedTuple):
    """A compare-and-set of one partition's offset, from `expected` to `new`."""

    topic: str
    partition: int
    expected: int
    new: int


_INSERT = text(
    "INSERT INTO consumer_offset (topic, partition, next) VALUES (:topic, :partition, 0) ON CONFLICT DO NOTHING"
)
_NEXT = text("SELECT next FROM consumer_offset WHERE topic = :topic AND partition = :partition")
_ATTEMPTS = text(
    "SELECT attempts FROM consumer_offset WHERE topic = :topic AND partition = :partition AND begun = next"
)
_BEGIN = text(
    "UPDATE consumer_offset SET attempts = CASE WHEN begun = next THEN attempts + 1 ELSE 1 END, begun = next "
    "WHERE topic = :topic AND partition = :partition"
)
_END = text("UPDATE consumer_offset SET begun = NULL, attempts = 0 WHERE topic = :topic AND partition = :partition")
# Locked in one order, so that two members that both think they own the partitions do not deadlock.
_MOVE = """
WITH held AS MATERIALIZED (
    SELECT o.topic, o.partition, m.next FROM consumer_offset o
    JOIN unnest(cast(:topics AS text[]), cast(:partitions AS int[]), cast(:expected AS bigint[]), cast(:next AS bigint[]))
        AS m (topic, partition, expected, next)
    ON o.topic = m.topic AND o.partition = m.partition AND o.next = m.expected
    ORDER BY o.topic, o.partition FOR UPDATE OF o
)
UPDATE consumer_offset o SET next = held.next FROM held WHERE o.topic = held.topic AND o.partition = held.partition
"""


async def load_next_offset(sessions: Sessions, topic: str, partition: int) -> int:
    """The next offset to read; 0 when the partition was never read. Creates the row that `move_offsets` updates."""
    place = {"topic": topic, "partition": partition}
    async with sessions.system_transaction() as connection:
        found = await connection.scalar(_NEXT, place)
        if found is None:
            await connection.execute(_INSERT, place)
            found = await connection.scalar(_NEXT, place)
        return int(found or 0)


async def count_attempts(sessions: Sessions, topic: str, partition: int) -> int:
    """How often the message at the stored offset was begun (`begin_attempt`) and not finished."""
    async with sessions.system_transaction() as connection:
        return int(await connection.scalar(_ATTEMPTS, {"topic": topic, "partition": partition}) or 0)


async def begin_attempt(sessions: Sessions, topic: str, partition: int) -> None:
    """Adds an attempt, in a transaction of its own, because handling the message may end the process. Moving the offset
    resets the count to 0."""
    async with sessions.system_transaction() as connection:
        await connection.execute(_BEGIN, {"topic": topic, "partition": partition})


async def end_attempt(sessions: Sessions, topic: str, partition: int) -> None:
    """Resets the count: the attempt finished, though it did not take effect."""
    async with sessions.system_transaction() as connection:
        await connection.execute(_END, {"topic": topic, "partition": partition})


async def move_offsets(session: Session, moves: Iterable[OffsetUpdate]) -> None:
    """Moves all offsets or none. Raises OffsetConflict when a stored offset is not its `expected`; the caller must then
    roll the transaction back."""
    topics, partitions, expected, to = zip(*moves, strict=True)
    moved = await session.run(
        _MOVE, {"topics": list(topics), "partitions": list(partitions), "expected": list(expected), "next": list(to)}
    )
    if moved != len(topics):
        places = ", ".join(
            f"{topic}/{partition} at {at}" for topic, partition, at in zip(topics, partitions, expected, strict=True)
        )
        raise OffsetConflict(f"expected {places}")
