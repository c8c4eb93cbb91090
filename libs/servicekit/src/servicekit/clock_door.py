"""The time door: what falls due, one transaction each. A simulated tenant lives by its own clock."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from messaging.retry import is_transient
from sqlalchemy import text
from storage import Sessions

from servicekit import metrics
from servicekit.kit import DueHandler, DueItem
from servicekit.logs import Subject, about

if TYPE_CHECKING:
    from servicekit.telemetry import Tracing

log = logging.getLogger("uplift.clock")

_DUE = """
SELECT d.tenant, d.kind, d.ref, d.at, d.body, d.turn, coalesce(c.now, :wall) AS now
FROM due_item d LEFT JOIN tenant_clock c ON c.tenant = d.tenant
WHERE d.at <= coalesce(c.now, :wall) ORDER BY d.at LIMIT 100
"""


_LATE = """
SELECT extract(epoch FROM clock_timestamp() - min(d.at)) FROM due_item d
LEFT JOIN tenant_clock c ON c.tenant = d.tenant WHERE c.now IS NULL AND d.at <= clock_timestamp()
"""


class ClockDoor:
    def __init__(self, sessions: Sessions, handlers: Mapping[str, DueHandler]) -> None:
        self._sessions = sessions
        self._handlers = handlers
        self.tracing: Tracing | None = None
        for kind in handlers:
            for outcome in ("handled", "failed"):
                metrics.DUE_ITEMS.labels(sessions.service, kind, outcome)

    async def tick(self, wall: datetime) -> int:
        """Handles what is due. Returns how many items were; call again while it is not 0."""
        async with self._sessions.across() as connection:
            found = [dict(row) for row in (await connection.execute(text(_DUE), {"wall": wall})).mappings()]
        return sum([await self._handle(_due_item(row), row["now"], row["turn"]) for row in found])

    async def late_seconds(self) -> float:
        """How long the oldest due item has been due; 0 when none is. Simulated tenants, whose clocks leap, not counted."""
        async with self._sessions.across() as connection:
            return float(await connection.scalar(text(_LATE)) or 0)

    async def _handle(self, item: DueItem, now: datetime, turn: str | None) -> int:
        service = self._sessions.service
        about.set(Subject(service, item.tenant))
        try:
            with self.tracing.due(item.kind) if self.tracing else nullcontext():
                count = await self._claim_and_handle(item, now, turn)
            metrics.DUE_ITEMS.labels(service, item.kind, "handled").inc(count)
            return count
        except Exception:
            # It is tried again with growing pauses and never dropped: what fell due stays due.
            log.exception("due item %s %s of %s failed", item.kind, item.ref, item.tenant)
            metrics.DUE_ITEMS.labels(service, item.kind, "failed").inc()
            await self._postpone(item, now)
            return 0
        finally:
            about.set(Subject(service))

    async def _claim_and_handle(self, item: DueItem, now: datetime, turn: str | None) -> int:
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
