"""The relay's side of the outbox."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import text

from storage.session import Sessions

Publish = Callable[[list[dict[str, Any]]], Awaitable[None]]


class Outbox:
    """Hands out what waits to be published: partition by partition under an advisory lock, so that order per key
    holds with several relays at once, and deletes it when it was published."""

    def __init__(self, sessions: Sessions, *, most: int = 1000) -> None:
        self._sessions = sessions
        self._most = most

    async def publish_pending(self, publish: Publish) -> int:
        """One pass over every partition that has something waiting. Returns how many rows were published."""
        async with self._sessions.across() as connection:
            partitions = (await connection.execute(text("SELECT DISTINCT partition FROM outbox ORDER BY 1"))).scalars()
            waiting = list(partitions)
        return sum([await self._publish_partition(partition, publish) for partition in waiting])

    async def _publish_partition(self, partition: int, publish: Publish) -> int:
        async with self._sessions.across() as connection:
            locked = await connection.scalar(
                text("SELECT pg_try_advisory_xact_lock(hashtext('outbox ' || :service), :partition)"),
                {"service": self._sessions.service, "partition": partition},
            )
            if not locked:
                return 0
            found = await connection.execute(
                text(
                    "SELECT seq, topic, partition, key, headers, value FROM outbox "
                    "WHERE partition = :partition ORDER BY seq LIMIT :most"
                ),
                {"partition": partition, "most": self._most},
            )
            rows = [dict(row) for row in found.mappings()]
            if not rows:
                return 0
            await publish(rows)
            await connection.execute(
                text("DELETE FROM outbox WHERE seq = ANY(:seqs)"), {"seqs": [row["seq"] for row in rows]}
            )
            return len(rows)

    async def oldest(self) -> datetime | None:
        """When the oldest waiting row was written."""
        async with self._sessions.across() as connection:
            return await connection.scalar(text("SELECT min(at) FROM outbox"))

    async def waiting(self) -> int:
        async with self._sessions.across() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM outbox")) or 0)
