"""Locks of contacts and of a tenant's interactions."""

import zlib
from collections.abc import Iterable

from storage import Session, lock_sql

from ingest.store.sql import to_pg_array

LOCK_BUCKETS = 128
MAX_SINGLE_LOCKS = 64

_BUCKET = "concat_ws(' ', cast(:name AS text), n)"
_LOCK = f"""
SELECT {lock_sql("cast(:tenant AS text)", shared=True)}
UNION ALL SELECT {lock_sql(_BUCKET, shared=True)} FROM unnest(cast(:shared AS int[])) AS s(n)
UNION ALL SELECT {lock_sql(_BUCKET)} FROM unnest(cast(:own AS int[])) AS o(n)
"""  # noqa: S608


async def lock_contacts(session: Session, source: str, names: Iterable[str]) -> None:
    """Locks the interactions of these contacts and roots until the end of the transaction: nobody else merges them, and
    nobody gets `lock_tenant_exclusive`.

    Up to `MAX_SINGLE_LOCKS` names are locked one by one, each below a shared lock of its bucket, so that small bodies
    seldom wait for one another. More names lock their whole buckets, because PostgreSQL bounds the number of locks. Locks
    are acquired in sorted order.
    """
    hashes = {zlib.crc32(name.encode()) for name in names}
    buckets = sorted({each % LOCK_BUCKETS for each in hashes})
    few = len(hashes) <= MAX_SINGLE_LOCKS
    own = sorted({LOCK_BUCKETS + (each >> 2) for each in hashes}) if few else buckets
    parameters = {
        "tenant": f"{session.service} {_tenant_key(session)}",
        "name": f"{session.service} contacts {session.tenant} {source}",
        "shared": to_pg_array(buckets if few else ()),
        "own": to_pg_array(own),
    }
    await session.run(_LOCK, parameters)


async def lock_tenant_exclusive(session: Session) -> None:
    """Waits for every merge of the tenant that is under way, and blocks new ones until the end of the transaction."""
    await session.lock_key(_tenant_key(session))


def _tenant_key(session: Session) -> str:
    return f"interactions {session.tenant}"
