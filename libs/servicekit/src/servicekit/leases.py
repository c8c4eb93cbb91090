"""Leases of due items. Only the holder of a lease handles the item, until it is finished, postponed or released, or the
lease expires because the holder's process has died. A lease is fenced: a holder that lost it cannot change anything.

Leases expire by the database's clock, never by a simulated tenant's.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import text
from storage import Session, Sessions

from servicekit.service_definition import DueItem

LEASE_SECONDS = 30.0

# Steps through the tenants by an index, so that one tenant's long queue does not slow the query, and only if anything is
# due. Tenants with running items, and tenants that were served recently, come later.
_CLAIM = """
WITH RECURSIVE tenants AS (
    SELECT (SELECT min(tenant) FROM due_item) AS tenant
    WHERE EXISTS (SELECT FROM due_item i WHERE i.at <= :wall AND (i.leased_until IS NULL OR i.leased_until <= clock_timestamp()))
    OR EXISTS (SELECT FROM tenant_clock c JOIN due_item i ON i.tenant = c.tenant AND i.at <= c.now)
    UNION ALL
    SELECT (SELECT min(i.tenant) FROM due_item i WHERE i.tenant > t.tenant) FROM tenants t WHERE t.tenant IS NOT NULL),
due AS (
    SELECT d.tenant, d.kind, d.ref, d.at, coalesce(c.now, :wall) AS now, coalesce(b.served, 0) AS served,
           row_number() OVER (PARTITION BY t.tenant ORDER BY d.at) + coalesce(b.running, 0) AS rank
    FROM tenants t
    LEFT JOIN tenant_clock c ON c.tenant = t.tenant
    LEFT JOIN json_to_recordset(cast(:busy AS json)) AS b(tenant text, running int, served bigint) ON b.tenant = t.tenant
    CROSS JOIN LATERAL (
        SELECT i.* FROM due_item i WHERE i.tenant = t.tenant AND i.at <= coalesce(c.now, :wall)
        AND (i.leased_until IS NULL OR i.leased_until <= clock_timestamp())
        AND (i.kind = ANY(cast(:jobs AS text[]))) = :long
        ORDER BY i.at LIMIT greatest(:per_tenant - coalesce(b.running, 0), 0)) AS d),
chosen AS (
    SELECT i.tenant, i.kind, i.ref, due.now FROM due JOIN due_item i USING (tenant, kind, ref)
    WHERE i.at = due.at AND (i.leased_until IS NULL OR i.leased_until <= clock_timestamp())
    ORDER BY due.rank, due.served, due.at LIMIT :free FOR UPDATE OF i SKIP LOCKED)
UPDATE due_item i SET lease = :lease, leased_until = clock_timestamp() + :seconds * interval '1 second'
FROM chosen WHERE (i.tenant, i.kind, i.ref) = (chosen.tenant, chosen.kind, chosen.ref)
RETURNING i.tenant, i.kind, i.ref, i.at, i.body, i.turn, chosen.now
"""
_WHERE_LEASED = "WHERE tenant = :tenant AND kind = :kind AND ref = :ref AND at = :at AND lease = :lease"
_RENEW = f"UPDATE due_item SET leased_until = clock_timestamp() + :seconds * interval '1 second' {_WHERE_LEASED}"  # noqa: S608
# A locked row is skipped: its holder is in a transaction that renews the lease itself.
_RENEW_BESIDE = f"""
UPDATE due_item SET leased_until = clock_timestamp() + :seconds * interval '1 second' WHERE (tenant, kind, ref) IN (
    SELECT tenant, kind, ref FROM due_item {_WHERE_LEASED} FOR UPDATE SKIP LOCKED)
"""  # noqa: S608
_FINISH = f"DELETE FROM due_item {_WHERE_LEASED}"  # noqa: S608
_POSTPONE = f"""
UPDATE due_item SET attempts = attempts + 1, lease = NULL, leased_until = NULL,
at = greatest(at, :now) + least(power(2, least(attempts, 12)), 3600) * interval '1 second' {_WHERE_LEASED}
"""  # noqa: S608
_RELEASE = f"UPDATE due_item SET lease = NULL, leased_until = NULL {_WHERE_LEASED}"  # noqa: S608


class LeaseLost(Exception):
    """Another process holds the item, or the item was moved or deleted."""


@dataclass(frozen=True)
class LeasedItem:
    """A due item that this process has leased for `seconds`. `now`: the tenant's time when it was leased. `serialize_by`: a
    key; items with the same one are handled one at a time."""

    sessions: Sessions
    item: DueItem
    now: datetime
    serialize_by: str | None
    lease: UUID
    seconds: float

    @property
    def _lease_parameters(self) -> dict[str, Any]:
        item = self.item
        return {"tenant": item.tenant, "kind": item.kind, "ref": item.ref, "at": item.at, "lease": self.lease}

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Session]:
        """A transaction of the item's tenant, which renews the lease. Raises LeaseLost before anything is changed."""
        async with self._begin() as session:
            if not await session.run(_RENEW, self._lease_parameters | {"seconds": self.seconds}):
                raise LeaseLost(self.item.ref)
            yield session

    @asynccontextmanager
    async def finish(self) -> AsyncGenerator[Session]:
        """The item's last transaction, which deletes it. Raises LeaseLost before anything is changed."""
        async with self._begin() as session:
            if not await session.run(_FINISH, self._lease_parameters):
                raise LeaseLost(self.item.ref)
            yield session

    @asynccontextmanager
    async def _begin(self) -> AsyncGenerator[Session]:
        async with self.sessions.begin([self.item.tenant], now=self.now) as session:
            if self.serialize_by is not None:
                await session.lock_keys([self.serialize_by])
            yield session

    async def renew(self) -> None:
        """Renews the lease outside of the holder's transactions, for work that takes long between them."""
        await self._execute_system(_RENEW_BESIDE, seconds=self.seconds)

    async def postpone(self) -> None:
        """Releases the item after a failure and makes it due later: after 2^attempts seconds, an hour at most."""
        await self._execute_system(_POSTPONE, now=self.now)

    async def release(self) -> None:
        """Ends the lease, so that another process can lease the item at once."""
        await self._execute_system(_RELEASE)

    async def _execute_system(self, statement: str, **parameters: Any) -> None:
        async with self.sessions.system_transaction() as connection:
            await connection.execute(text(statement), self._lease_parameters | parameters)


async def lease_due_items(
    sessions: Sessions,
    wall: datetime,
    *,
    free: int,
    per_tenant: int,
    jobs: Collection[str],
    long: bool,
    running: Mapping[str, int],
    served: Mapping[str, int],
    seconds: float = LEASE_SECONDS,
) -> list[LeasedItem]:
    """Leases up to `free` due items. A tenant gets at most `per_tenant`, counting its items in `running`, oldest first.
    Tenants that were `served` longest ago come first (tenant → sequence number). `long`: only the kinds in `jobs`; else
    only the other kinds."""
    busy = [
        {"tenant": tenant, "running": running.get(tenant, 0), "served": served.get(tenant, 0)}
        for tenant in {**running, **served}
    ]
    lease = uuid4()
    parameters = {
        "wall": wall, "busy": to_json(busy).decode(), "jobs": list(jobs), "long": long, "per_tenant": per_tenant,
        "free": free, "lease": lease, "seconds": seconds,
    }  # fmt: skip
    async with sessions.system_transaction() as connection:
        rows = [dict(row) for row in (await connection.execute(text(_CLAIM), parameters)).mappings()]
    rows.sort(key=lambda row: (row["at"], row["kind"], row["ref"]))
    return [
        LeasedItem(sessions, DueItem(row["tenant"], row["kind"], row["ref"], row["at"], row["body"]), row["now"], row["turn"], lease, seconds)
        for row in rows
    ]  # fmt: skip
