"""The relay's side of the outbox."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import text

from storage.session import Sessions

Publish = Callable[[list[dict[str, Any]]], Awaitable[None]]


_FREE = """
SELECT partition FROM (SELECT DISTINCT partition FROM outbox) AS waiting
WHERE pg_try_advisory_xact_lock(hashtext('outbox ' || :service), partition)
"""
_OLDEST = """
SELECT seq, topic, partition, key, headers, value FROM outbox WHERE partition = ANY(:partitions) ORDER BY seq LIMIT :most
"""


class Outbox:
    """Hands out what waits to be published and deletes it when it was. A partition is at one relay at a time, by an
    advisory lock, so that order per key holds with several relays at once."""

    def __init__(self, sessions: Sessions, *, most: int = 1000) -> None:
        self._sessions = sessions
        self._most = most

    async def publish_pending(self, publish: Publish) -> int:
        """Publishes the oldest waiting rows of every partition that no other relay is at. Returns how many."""
        async with self._sessions.across() as connection:
            free = await connection.execute(text(_FREE), {"service": self._sessions.service})
            partitions = list(free.scalars())
            if not partitions:
                return 0
            # A statement of its own, begun with the locks held: it sees what the last holder has deleted.
            found = await connection.execute(text(_OLDEST), {"partitions": partitions, "most": self._most})
            rows = [dict(row) for row in found.mappings()]
            if not rows:
                return 0
            await publish(rows)
            # A deletion that is lost with a crash of the database means publishing twice, which readers bear.
            await connection.execute(text("SET LOCAL synchronous_commit = off"))
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
