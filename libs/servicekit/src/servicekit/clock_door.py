"""The time door: what falls due, one transaction each. A simulated tenant lives by its own clock."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from messaging.retry import is_transient
from sqlalchemy import text
from storage import Sessions

from servicekit.kit import DueHandler, DueItem

log = logging.getLogger("uplift.clock")

_DUE = """
SELECT d.tenant, d.kind, d.ref, d.at, d.body, d.turn, coalesce(c.now, :wall) AS now
FROM due_item d LEFT JOIN tenant_clock c ON c.tenant = d.tenant
WHERE d.at <= coalesce(c.now, :wall) ORDER BY d.at LIMIT 100
"""


class ClockDoor:
    def __init__(self, sessions: Sessions, handlers: Mapping[str, DueHandler]) -> None:
        self._sessions = sessions
        self._handlers = handlers

    async def tick(self, wall: datetime) -> int:
        """Handles what is due. Returns how many items were; call again while it is not 0."""
        async with self._sessions.across() as connection:
            found = [dict(row) for row in (await connection.execute(text(_DUE), {"wall": wall})).mappings()]
        return sum([await self._handle(_due_item(row), row["now"], row["turn"]) for row in found])

    async def _handle(self, item: DueItem, now: datetime, turn: str | None) -> int:
        try:
            async with self._sessions.begin([item.tenant], now=now) as session:
                if turn is not None:
                    await session.take_turns([turn])
                place = {"tenant": item.tenant, "kind": item.kind, "ref": item.ref, "at": item.at}
                claimed = await session.execute(
                    "DELETE FROM due_item WHERE (tenant, kind, ref) IN (SELECT tenant, kind, ref FROM due_item "
                    "WHERE tenant = :tenant AND kind = :kind AND ref = :ref AND at = :at FOR UPDATE SKIP LOCKED)",
                    place,
                )
                if claimed.rowcount == 1:
                    await self._handlers[item.kind](session, item)
                return int(claimed.rowcount)
        except Exception:
            # It is tried again with growing pauses and never dropped: what fell due stays due.
            log.exception("due item %s %s of %s failed", item.kind, item.ref, item.tenant)
            await self._postpone(item, now)
            return 0

    async def _postpone(self, item: DueItem, now: datetime) -> None:
        async with self._sessions.across() as connection:
            await connection.execute(
                text(
                    "UPDATE due_item SET attempts = attempts + 1, "
                    "at = greatest(at, :now) + least(power(2, least(attempts, 12)), 3600) * interval '1 second' "
                    "WHERE tenant = :tenant AND kind = :kind AND ref = :ref AND at = :at"
                ),
                {"tenant": item.tenant, "kind": item.kind, "ref": item.ref, "at": item.at, "now": now},
            )

    async def run(self, stopping: asyncio.Event, *, every_seconds: float = 1.0) -> None:
        while not stopping.is_set():
            try:
                while await self.tick(datetime.now(UTC)) and not stopping.is_set():
                    pass
            except Exception as error:
                # Without a database every service's clock says so every second: one line each is enough.
                log.warning("the clock could not look for due items: %s", error, exc_info=not is_transient(error))
            try:
                await asyncio.wait_for(stopping.wait(), every_seconds)
            except TimeoutError:
                continue


def _due_item(row: dict[str, Any]) -> DueItem:
    return DueItem(row["tenant"], row["kind"], row["ref"], row["at"], row["body"])
