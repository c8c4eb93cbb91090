"""Failed attempts to sign in, and how long whoever made them waits."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from all_in_one.oidc import model
from all_in_one.oidc.store.tables import attempt

_FAILED = text(
    "INSERT INTO oidc.attempt AS known (key, failures, blocked_until, last_at) VALUES (:key, 1, :now, :now) "
    "ON CONFLICT (key) DO UPDATE SET last_at = :now, "
    "failures = CASE WHEN known.last_at < :forgotten THEN 1 ELSE least(known.failures + 1, 1000000) END, "
    "blocked_until = CASE WHEN known.last_at < :forgotten OR known.failures + 1 < :free THEN :now ELSE "
    "cast(:now AS timestamptz) + make_interval(secs => least(:longest, power(2, least(known.failures + 1 - :free, 20)))) END"
)


async def blocked_until(connection: AsyncConnection, keys: Mapping[str, model.BackOff]) -> datetime | None:
    query = select(func.max(attempt.c.blocked_until)).where(attempt.c.key.in_([model.digest(key) for key in keys]))
    return await connection.scalar(query)


async def failed(connection: AsyncConnection, keys: Mapping[str, model.BackOff], now: datetime) -> None:
    """Counts for each of the keys, in one order everywhere."""
    await connection.execute(delete(attempt).where(attempt.c.last_at < now - model.FAILURES_KEPT))
    for key in sorted(keys):
        back_off = keys[key]
        given = {"key": model.digest(key), "now": now, "forgotten": now - model.FAILURES_KEPT}
        await connection.execute(_FAILED, given | {"free": back_off.free, "longest": back_off.longest.total_seconds()})


async def succeeded(connection: AsyncConnection, keys: Mapping[str, model.BackOff]) -> None:
    """Those keys are forgotten that a right password speaks for."""
    done = [model.digest(key) for key, back_off in keys.items() if back_off.forgiven]
    await connection.execute(delete(attempt).where(attempt.c.key.in_(done)))
