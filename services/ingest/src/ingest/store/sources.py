"""Sources: configured instances of a vendor."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from storage import Session

from ingest.store.tables import source


async def find(session: Session, slug: str) -> dict[str, Any] | None:
    return await session.row(
        "SELECT * FROM source WHERE tenant = :tenant AND slug = :slug", {"tenant": session.tenant, "slug": slug}
    )


async def load_all(session: Session) -> list[dict[str, Any]]:
    return await session.rows("SELECT * FROM source WHERE tenant = :tenant ORDER BY slug", {"tenant": session.tenant})


async def upsert(session: Session, values: dict[str, Any]) -> None:
    values = {"tenant": session.tenant, "updated_at": session.now, **values}
    statement = insert(source).values(values)
    changed = {name: statement.excluded[name] for name in values if name not in ("tenant", "slug")}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "slug"], set_=changed))


_HEALTH = """
SELECT source, max(received_at) AS last_received_at, count(*) AS receipts, sum(received) AS received,
       sum(accepted) AS accepted, sum(unchanged) AS unchanged, sum(corrected) AS corrected, sum(rejected) AS rejected
FROM receipt WHERE tenant = :tenant AND received_at > cast(:now AS timestamptz) - interval '7 days' GROUP BY source
"""


async def load_health(session: Session) -> dict[str, dict[str, Any]]:
    """By source, of the last seven days: when records last came, how many, and what came of them."""
    found = await session.rows(_HEALTH, {"tenant": session.tenant, "now": session.now})
    return {row.pop("source"): row for row in found}


async def count_held(session: Session) -> dict[str, dict[str, int]]:
    """By source and reason, what waits now."""
    rows = await session.rows(
        "SELECT source, reason, count(*) AS n FROM held WHERE tenant = :tenant GROUP BY source, reason",
        {"tenant": session.tenant},
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["source"], {})[row["reason"]] = row["n"]
    return found
