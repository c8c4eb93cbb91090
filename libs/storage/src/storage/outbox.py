"""The relay's side of the outbox: which rows to publish next, and how many wait."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import NamedTuple, TypedDict, cast

from sqlalchemy import text

from storage.locks import lock_sql
from storage.session import Session
from storage.sessions import Sessions

SMALL_BACKLOG_ROWS = 5
"""A tenant with at most this many waiting rows in a topic may exceed the topic's capacity,"""
SMALL_BACKLOG_RESERVE = 50
"""by at most this many rows of all such tenants together."""


class OutboxRow(TypedDict):
    """A waiting event. `value` None is a tombstone."""

    seq: int
    topic: str
    partition: int
    key: str
    headers: dict[str, str]
    value: bytes | None


class Backlog(NamedTuple):
    """Waiting events, and the age of the oldest in seconds."""

    events: int
    oldest_seconds: float


PublishRows = Callable[[list[OutboxRow]], Awaitable[None]]


# Partitions with waiting rows, one index step each, however many rows wait.
_LOCK_FREE_PARTITIONS = f"""
WITH RECURSIVE waiting AS (
    (SELECT partition FROM outbox ORDER BY partition LIMIT 1)
    UNION ALL
    SELECT (SELECT partition FROM outbox o WHERE o.partition > waiting.partition ORDER BY partition LIMIT 1)
    FROM waiting WHERE waiting.partition IS NOT NULL
)
SELECT partition FROM waiting
WHERE partition IS NOT NULL AND {lock_sql("concat_ws(' ', cast(:service AS text), 'outbox', partition)", wait=False)}
"""  # noqa: S608
# Round robin over tenants: the first row of every tenant, then the second of every tenant, and so on.
_SELECT_FAIRLY = """
WITH RECURSIVE waiting AS (
    (SELECT tenant, topic FROM outbox ORDER BY tenant, topic LIMIT 1)
    UNION ALL
    SELECT following.tenant, following.topic
    FROM waiting CROSS JOIN LATERAL (
        SELECT tenant, topic FROM outbox o WHERE (o.tenant, o.topic) > (waiting.tenant, waiting.topic)
        ORDER BY tenant, topic LIMIT 1
    ) AS following
), ranked AS (
    SELECT lane.topic, lane.capacity, mine.seq,
        row_number() OVER (PARTITION BY lane.tenant, lane.topic ORDER BY mine.seq) AS turn,
        count(*) OVER (PARTITION BY lane.tenant, lane.topic) AS size
    FROM (
        SELECT waiting.tenant, waiting.topic, least(coalesce(budget.capacity, :most), :most) AS capacity
        FROM waiting
        LEFT JOIN unnest(cast(:topics AS text[]), cast(:rooms AS int[])) AS budget (topic, capacity) USING (topic)
    ) AS lane
    CROSS JOIN LATERAL (
        SELECT seq FROM outbox o
        WHERE o.tenant = lane.tenant AND o.topic = lane.topic AND o.partition = ANY(:partitions)
        ORDER BY seq LIMIT greatest(lane.capacity, :few + 1)
    ) AS mine
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY topic ORDER BY turn, seq) AS place FROM ranked
), chosen AS (
    SELECT seq, turn FROM placed WHERE place <= capacity OR (size <= :few AND place <= capacity + :reserve)
    ORDER BY turn, seq LIMIT :most
)
SELECT seq, topic, partition, key, headers, value FROM chosen JOIN outbox USING (seq) ORDER BY turn, seq
"""


# The oldest row of each tenant and topic is the first of its range in the index.
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


async def measure_backlog(session: Session) -> Backlog:
    """The backlog of the session's tenant."""
    row = await session.row(
        "SELECT count(*) AS events, extract(epoch FROM clock_timestamp() - min(at))::float AS seconds "
        "FROM outbox WHERE tenant = :tenant",
        {"tenant": session.tenant},
    )
    assert row is not None, "an aggregate has a row"
    return Backlog(row["events"], max(row["seconds"] or 0.0, 0.0))


class Outbox:
    """Waiting events of one service. An advisory lock gives each partition to one relay at a time, so that order per key
    holds with several relays. Tenants take turns, so that none waits for another's backlog. `most` limits the rows of one
    call of `publish_pending`."""

    def __init__(self, sessions: Sessions, *, most: int = 1000) -> None:
        self._sessions = sessions
        self._most = most

    async def publish_pending(self, publish: PublishRows, capacity: Mapping[str, int] | None = None) -> int:
        """Publishes waiting rows of the partitions that no other relay has locked, and deletes them when `publish` returns:
        tenants in turn, each tenant's oldest first. `capacity` limits the rows by topic, and may be exceeded a little by
        tenants with few rows. Returns how many were published. When `publish` raises, all rows stay."""
        capacity = capacity or {}
        async with self._sessions.system_transaction() as connection:
            free = await connection.execute(text(_LOCK_FREE_PARTITIONS), {"service": self._sessions.service})
            partitions = list(free.scalars())
            if not partitions:
                return 0
            # A statement of its own after locking, so that it sees what the last holder of the locks has deleted.
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
            rows = [cast(OutboxRow, dict(row)) for row in found.mappings()]
            if not rows:
                return 0
            await publish(rows)
            # If a crash of the database loses the deletion, the rows are published twice, which consumers tolerate.
            await connection.execute(text("SET LOCAL synchronous_commit = off"))
            await connection.execute(
                text("DELETE FROM outbox WHERE seq = ANY(:seqs)"), {"seqs": [row["seq"] for row in rows]}
            )
            return len(rows)

    async def oldest_written_at(self) -> datetime | None:
        """When the oldest waiting row was written; None when none waits."""
        async with self._sessions.system_transaction() as connection:
            return await connection.scalar(text("SELECT min(at) FROM outbox"))

    async def find_slowest_tenants(self, limit: int) -> dict[str, float]:
        """The `limit` tenants whose oldest row has waited longest, and for how many seconds."""
        async with self._sessions.system_transaction() as connection:
            found = await connection.execute(text(_SELECT_OLDEST_BY_TENANT), {"most": limit})
            return {row.tenant: row.seconds for row in found}

    async def count_waiting(self) -> int:
        """How many rows wait."""
        async with self._sessions.system_transaction() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM outbox")) or 0)
