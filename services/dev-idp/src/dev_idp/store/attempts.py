"""Failed attempts to sign in, and until when they block."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp import model
from dev_idp.store.tables import attempt

_FAILED = text(
    "INSERT INTO attempt AS known (key, failures, blocked_until, last_at) VALUES (:key, 1, :now, :now) "
    "ON CONFLICT (key) DO UPDATE SET last_at = :now, "
    "failures = CASE WHEN known.last_at < :forgotten THEN 1 ELSE least(known.failures + 1, 1000000) END, "
    "blocked_until = CASE WHEN known.last_at < :forgotten OR known.failures + 1 < :free THEN :now ELSE "
    "cast(:now AS timestamptz) + make_interval(secs => least(:longest, power(2, least(known.failures + 1 - :free, 20)))) END"
)


async def load_blocked_until(connection: AsyncConnection, keys: Mapping[str, model.ThrottlePolicy]) -> datetime | None:
    """The latest end of a block among the keys; None when none of them has failed."""
    query = select(func.max(attempt.c.blocked_until)).where(attempt.c.key.in_([model.digest(key) for key in keys]))
    return await connection.scalar(query)


async def record_failures(connection: AsyncConnection, keys: Mapping[str, model.ThrottlePolicy], now: datetime) -> None:
    """Counts a failure for each key, in sorted order (against deadlocks), and deletes expired rows."""
    await connection.execute(delete(attempt).where(attempt.c.last_at < now - model.FAILURE_RETENTION))
    for key in sorted(keys):
        back_off = keys[key]
        parameters = {"key": model.digest(key), "now": now, "forgotten": now - model.FAILURE_RETENTION}
        await connection.execute(
            _FAILED, parameters | {"free": back_off.free_failures, "longest": back_off.max_wait.total_seconds()}
        )


async def clear_failures(connection: AsyncConnection, keys: Mapping[str, model.ThrottlePolicy]) -> None:
    """Deletes the failures of the keys whose policy resets on success."""
    done = [model.digest(key) for key, back_off in keys.items() if back_off.reset_on_success]
    await connection.execute(delete(attempt).where(attempt.c.key.in_(done)))
