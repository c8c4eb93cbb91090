"""Retention and compaction."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from messaging.log_table.locks import lock_number

_LOCK = lock_number("retention")
TOMBSTONE_RETENTION = timedelta(days=1)
DELETE_CHUNK_ROWS = 10_000  # per transaction, so that locks and transactions are short

# Times increase with offsets, so this reads the expired messages and the first one that is not expired.
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
# Runs after DELETE_SUPERSEDED: a tombstone may be deleted only when the older messages of its key are deleted.
DELETE_TOMBSTONES = """
DELETE FROM broker.log
WHERE topic = %(topic)s AND partition = %(partition)s AND value IS NULL AND at < %(cutoff)s AND "offset" < %(last)s
"""


async def apply_retention(connection: AsyncConnection, now: datetime) -> int:
    """Deletes the messages that retention and compaction no longer keep, in all partitions. Returns how many; 0 while
    another process does it."""
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
        deleted_count = 0
        for topic, partition, last, compacted, retention_days in partitions:
            parameters: dict[str, Any] = {
                "topic": topic,
                "partition": partition,
                "last": last,
                "chunk": DELETE_CHUNK_ROWS,
            }
            if retention_days is not None:
                deleted_count += await _expire(connection, parameters, now - timedelta(days=retention_days))
            if compacted:
                deleted_count += (await connection.execute(DELETE_SUPERSEDED, parameters)).rowcount
                deleted_count += (
                    await connection.execute(DELETE_TOMBSTONES, parameters | {"cutoff": now - TOMBSTONE_RETENTION})
                ).rowcount
        return deleted_count
    finally:
        if not connection.broken:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _expire(connection: AsyncConnection, parameters: dict[str, Any], cutoff: datetime) -> int:
    row = await (await connection.execute(EXPIRED_BEFORE, parameters | {"cutoff": cutoff})).fetchone()
    deleted_count = 0
    while row:
        deleted = (await connection.execute(DELETE_BEFORE, parameters | {"before": row[0]})).rowcount
        deleted_count += deleted
        if deleted < DELETE_CHUNK_ROWS:
            break
    return deleted_count
