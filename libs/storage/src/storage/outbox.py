"""The relay's side of the outbox."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from storage.session import Session, Sessions

SMALL_BACKLOG_ROWS = 5
"""Who has no more than so many rows waiting in a topic need not wait until there is room in it,"""
SMALL_BACKLOG_RESERVE = 50
"""as long as all of these together are not more than so many."""

PublishRows = Callable[[list[dict[str, Any]]], Awaitable[None]]


# Which partitions, and which topics of which tenants, wait: one step in an index for each, however many rows wait.
_LOCK_FREE_PARTITIONS = """
WITH RECURSIVE waiting AS (
    (SELECT partition FROM outbox ORDER BY partition LIMIT 1)
    UNION ALL
    SELECT (SELECT partition FROM outbox o WHERE o.partition > waiting.partition ORDER BY partition LIMIT 1)
    FROM waiting WHERE waiting.partition IS NOT NULL
)
SELECT partition FROM waiting
WHERE partition IS NOT NULL AND pg_try_advisory_xact_lock(hashtext('outbox ' || :service), partition)
"""
# Row by row, as in a game of cards: the first of every tenant, then the second of every tenant, and so on.
_SELECT_FAIRLY = """
WITH RECURSIVE waiting AS (
    (SELECT tenant, topic FROM outbox ORDER BY tenant, topic LIMIT 1)
    UNION ALL
    SELECT following.tenant, following.topic
    FROM waiting CROSS JOIN LATERAL (
        SELECT tenant, topic FROM outbox o WHERE (o.tenant, o.topic) > (waiting.tenant, waiting.topic)
        ORDER BY tenant, topic LIMIT 1
    ) AS following
), dealt AS (
    SELECT lane.topic, lane.room, mine.seq,
        row_number() OVER (PARTITION BY lane.tenant, lane.topic ORDER BY mine.seq) AS turn,
        count(*) OVER (PARTITION BY lane.tenant, lane.topic) AS size
    FROM (
        SELECT waiting.tenant, waiting.topic, least(coalesce(room.most, :most), :most) AS room
        FROM waiting
        LEFT JOIN unnest(cast(:topics AS text[]), cast(:rooms AS int[])) AS room (topic, most) USING (topic)
    ) AS lane
    CROSS JOIN LATERAL (
        SELECT seq FROM outbox o
        WHERE o.tenant = lane.tenant AND o.topic = lane.topic AND o.partition = ANY(:partitions)
        ORDER BY seq LIMIT greatest(lane.room, :few + 1)
    ) AS mine
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY topic ORDER BY turn, seq) AS place FROM dealt
), chosen AS (
    SELECT seq, turn FROM placed WHERE place <= room OR (size <= :few AND place <= room + :reserve)
    ORDER BY turn, seq LIMIT :most
)
SELECT seq, topic, partition, key, headers, value FROM chosen JOIN outbox USING (seq) ORDER BY turn, seq
"""


# The oldest row of every topic of every tenant is the first of its stretch in the index.
_SELECT_OLDEST_BY_TENANT = """
WITH RECURSIVE waiting AS (
    (SELECT tenant, topic, at FROM outbox ORDER BY tenant, topic, seq LIMIT 1)
    UNION ALL
    SELECT following.tenant, following.topic, following.at
    FROM waiting CROSS JOIN LATERAL (
        SELECT tenant, topic, at FROM outbox o WHERE (o.tenant, o.topic) > (waiting.tenant, waiting.topic)
        ORDER BY tenant, topic, seq LIMIT 1
    ) AS following
)
SELECT tenant, extract(epoch FROM clock_timestamp() - min(at))::float AS seconds FROM waiting GROUP BY tenant
ORDER BY seconds DESC LIMIT :most
"""


async def measure_backlog(session: Session) -> tuple[int, float]:
    """Of the session's tenant: how many rows wait, and the oldest for how many seconds."""
    row = await session.row(
        "SELECT count(*) AS events, extract(epoch FROM clock_timestamp() - min(at))::float AS seconds "
        "FROM outbox WHERE tenant = :tenant",
        {"tenant": session.tenant},
    )
    assert row is not None, "an aggregate has a row"
    return row["events"], max(row["seconds"] or 0.0, 0.0)


class Outbox:
    """Hands out what waits to be published and deletes it when it was. A partition is at one relay at a time, by an
    advisory lock, so that order per key holds with several relays at once. Tenants take turns, so that nobody waits
    for another's backlog."""

    def __init__(self, sessions: Sessions, *, most: int = 1000) -> None:
        self._sessions = sessions
        self._most = most

    async def publish_pending(self, publish: PublishRows, capacity: Mapping[str, int] | None = None) -> int:
        """Publishes waiting rows of the partitions that no other relay is at, those of all tenants in turn, each tenant's
        oldest first; of the topics that `room` names at most so many, and a few more of tenants that have only a few.
        Returns how many."""
        capacity = capacity or {}
        async with self._sessions.system_transaction() as connection:
            free = await connection.execute(text(_LOCK_FREE_PARTITIONS), {"service": self._sessions.service})
            partitions = list(free.scalars())
            if not partitions:
                return 0
            # A statement of its own, begun with the locks held: it sees what the last holder has deleted.
            found = await connection.execute(
                text(_SELECT_FAIRLY),
                {
                    "partitions": partitions,
                    "most": self._most,
                    "few": SMALL_BACKLOG_ROWS,
                    "reserve": SMALL_BACKLOG_RESERVE,
                    "topics": list(capacity),
                    "rooms": list(capacity.values()),
                },
            )
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

    async def oldest_written_at(self) -> datetime | None:
        """When the oldest waiting row was written."""
        async with self._sessions.system_transaction() as connection:
            return await connection.scalar(text("SELECT min(at) FROM outbox"))

    async def find_slowest_tenants(self, limit: int) -> dict[str, float]:
        """The tenants whose oldest row has waited longest, at most so many, and how many seconds."""
        async with self._sessions.system_transaction() as connection:
            found = await connection.execute(text(_SELECT_OLDEST_BY_TENANT), {"most": limit})
            return {row.tenant: row.seconds for row in found}

    async def count_waiting(self) -> int:
        async with self._sessions.system_transaction() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM outbox")) or 0)
