"""A reader's place in every partition, moved in the transaction of the effect by compare-and-set."""

from sqlalchemy import text

from storage.session import Session, Sessions


class OffsetMoved(Exception):
    """The stored offset is not the expected one: somebody else has handled this batch."""

    fenced = True


async def next_offset(sessions: Sessions, topic: str, partition: int) -> int:
    """Where reading goes on; 0 when never read."""
    async with sessions.across() as connection:
        found = await connection.scalar(
            text("SELECT next FROM consumer_offset WHERE topic = :topic AND partition = :partition"),
            {"topic": topic, "partition": partition},
        )
        return int(found or 0)


async def move_offset(session: Session, topic: str, partition: int, *, expected: int, to: int) -> None:
    """Raises OffsetMoved when the stored offset is not `expected`; the transaction is then to be rolled back."""
    place = {"topic": topic, "partition": partition, "expected": expected, "to": to}
    await session.execute(
        "INSERT INTO consumer_offset (topic, partition, next) VALUES (:topic, :partition, 0) ON CONFLICT DO NOTHING",
        place,
    )
    moved = await session.execute(
        "UPDATE consumer_offset SET next = :to WHERE topic = :topic AND partition = :partition AND next = :expected",
        place,
    )
    if moved.rowcount != 1:
        raise OffsetMoved(f"{topic}/{partition}: expected {expected}")
