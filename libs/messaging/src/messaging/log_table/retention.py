"""Retention and compaction."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from messaging.log_table.locks import lock_number

_LOCK = lock_number("retention")
TOMBSTONE_RETENTION = timedelta(days=1)
DELETE_CHUNK_ROWS = 10_000  # rows a transaction, so that no lock and no transaction lasts long

# Times rise with offsets, so this looks at expired messages only, and at the first that is not.
EXPIRED_BEFORE = """
SELECT least(
    %(last)s,
    (SELECT "offset" FROM broker.log
     WHERE topic = %(topic)s AND partition = %(partition)s AND at >= %(cutoff)s ORDER BY "offset" LIMIT 1)
)
"""
DELETE_BEFORE = """
DELETE FROM broker.log WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" IN (
    SELECT "offset" FROM broker.log
    WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" < %(before)s ORDER BY "offset" LIMIT %(chunk)s
)
"""
DELETE_SUPERSEDED = """
DELETE FROM broker.log USING (
    SELECT key, max("offset") AS newest FROM broker.log
    WHERE topic = %(topic)s AND partition = %(partition)s GROUP BY key
) AS keys
WHERE topic = %(topic)s AND partition = %(partition)s AND log.key = keys.key AND log."offset" < keys.newest
"""
# Only tombstones that superseded messages can no longer hide behind: this comes after DELETE_SUPERSEDED.
DELETE_TOMBSTONES = """
DELETE FROM broker.log
WHERE topic = %(topic)s AND partition = %(partition)s AND value IS NULL AND at < %(cutoff)s AND "offset" < %(last)s
"""


async def apply_retention(connection: AsyncConnection, now: datetime) -> int:
    """Deletes the messages that retention and compaction no longer keep, in all partitions. Returns how many; 0 when
    another process is doing it."""
    lock = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))).fetchone()
    if lock is None or not lock[0]:
        return 0
    try:
        partitions = await (
            await connection.execute(
                "SELECT topic, partition, next - 1, compacted, retention_days"
                " FROM broker.heads JOIN broker.topics ON topic = name WHERE next > 0"
            )
        ).fetchall()
        gone = 0
        for topic, partition, last, compacted, retention_days in partitions:
            place: dict[str, Any] = {"topic": topic, "partition": partition, "last": last, "chunk": DELETE_CHUNK_ROWS}
            if retention_days is not None:
                gone += await _expire(connection, place, now - timedelta(days=retention_days))
            if compacted:
                gone += (await connection.execute(DELETE_SUPERSEDED, place)).rowcount
                gone += (
                    await connection.execute(DELETE_TOMBSTONES, place | {"cutoff": now - TOMBSTONE_RETENTION})
                ).rowcount
        return gone
    finally:
        if not connection.broken:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _expire(connection: AsyncConnection, place: dict[str, Any], cutoff: datetime) -> int:
    row = await (await connection.execute(EXPIRED_BEFORE, place | {"cutoff": cutoff})).fetchone()
    gone = 0
    while row:
        deleted = (await connection.execute(DELETE_BEFORE, place | {"before": row[0]})).rowcount
        gone += deleted
        if deleted < DELETE_CHUNK_ROWS:
            break
    return gone
