"""A reader's place in every partition, moved in the transaction of the effect by compare-and-set."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import text

from storage.session import Session, Sessions


class OffsetConflict(Exception):
    """A stored offset is not the expected one: somebody else has handled this batch."""

    fenced = True


class OffsetUpdate(NamedTuple):
    """Of one partition's offset."""

    topic: str
    partition: int
    expected: int
    new: int


_PLACE = text(
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
# Locked in one order, so that two members who both believe in their partitions do not wait for each other in a circle.
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
    """Where reading goes on; 0 when never read. From then on the place is there to be moved."""
    place = {"topic": topic, "partition": partition}
    async with sessions.system_transaction() as connection:
        found = await connection.scalar(_NEXT, place)
        if found is None:
            await connection.execute(_PLACE, place)
            found = await connection.scalar(_NEXT, place)
        return int(found or 0)


async def count_attempts(sessions: Sessions, topic: str, partition: int) -> int:
    """How often what stands at the stored offset was begun (`begin_attempt`) without an end."""
    async with sessions.system_transaction() as connection:
        return int(await connection.scalar(_ATTEMPTS, {"topic": topic, "partition": partition}) or 0)


async def begin_attempt(sessions: Sessions, topic: str, partition: int) -> None:
    """Counts, in a transaction of its own: what comes next may end the process. A moved offset begins anew at 0."""
    async with sessions.system_transaction() as connection:
        await connection.execute(_BEGIN, {"topic": topic, "partition": partition})


async def end_attempt(sessions: Sessions, topic: str, partition: int) -> None:
    """What stands at the stored offset has ended, though it did not take effect."""
    async with sessions.system_transaction() as connection:
        await connection.execute(_END, {"topic": topic, "partition": partition})


async def move_offsets(session: Session, moves: Iterable[OffsetUpdate]) -> None:
    """All or none: raises OffsetConflict when one of the stored offsets is not its `expected`; the transaction is then to
    be rolled back."""
    topics, partitions, expected, to = zip(*moves, strict=True)
    moved = await session.run(
        _MOVE, {"topics": list(topics), "partitions": list(partitions), "expected": list(expected), "next": list(to)}
    )
    if moved != len(topics):
        places = ", ".join(
            f"{topic}/{partition} at {at}" for topic, partition, at in zip(topics, partitions, expected, strict=True)
        )
        raise OffsetConflict(f"expected {places}")
