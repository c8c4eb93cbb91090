"""Queries of sources: the configured phone systems of a tenant, and how they fare."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql import insert
from storage import Session

from ingest.store.tables import source


class SourceRow(NamedTuple):
    """A stored source."""

    slug: str
    vendor: str
    title: str
    status: str
    options: dict[str, Any]
    mapping: dict[str, Any] | None
    updated_at: datetime

    @property
    def spec(self) -> dict[str, Any]:
        """The values of `SourceSpec`, by field; the status may be `retired`."""
        return {
            "vendor": self.vendor,
            "title": self.title,
            "status": self.status,
            "options": self.options,
            "mapping": self.mapping,
        }


_COLUMNS = ", ".join(SourceRow._fields)


async def find(session: Session, slug: str) -> SourceRow | None:
    """A source; None when it is unknown."""
    rows = await session.tuples(
        f"SELECT {_COLUMNS} FROM source WHERE tenant = :tenant AND slug = :slug",  # noqa: S608
        {"tenant": session.tenant, "slug": slug},
    )
    return SourceRow(*rows[0]) if rows else None


async def load_all(session: Session) -> list[SourceRow]:
    """All sources of the tenant, by slug; also retired ones."""
    rows = await session.tuples(
        f"SELECT {_COLUMNS} FROM source WHERE tenant = :tenant ORDER BY slug",  # noqa: S608
        {"tenant": session.tenant},
    )
    return [SourceRow(*row) for row in rows]


async def upsert(session: Session, slug: str, spec: Mapping[str, Any]) -> None:
    """Creates or replaces a source. `spec`: as `SourceRow.spec`."""
    values = {"tenant": session.tenant, "slug": slug, "updated_at": session.now, **spec}
    statement = insert(source).values(values)
    changed = {name: statement.excluded[name] for name in values if name not in ("tenant", "slug")}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "slug"], set_=changed))


class SourceHealth(NamedTuple):
    """What a source received in the last seven days: receipts, records, and how many of these were rejected or
    corrected."""

    last_received_at: datetime | None = None
    receipts: int = 0
    received: int = 0
    rejected: int = 0
    corrected: int = 0


_HEALTH = """
SELECT source, max(received_at), count(*), sum(received), sum(rejected), sum(corrected)
FROM receipt WHERE tenant = :tenant AND received_at > cast(:now AS timestamptz) - interval '7 days' GROUP BY source
"""


async def load_health(session: Session) -> dict[str, SourceHealth]:
    """The health of each source that received something in the last seven days."""
    rows = await session.tuples(_HEALTH, {"tenant": session.tenant, "now": session.now})
    return {slug: SourceHealth(*health) for slug, *health in rows}


async def count_held(session: Session) -> dict[str, dict[str, int]]:
    """Source → reason → how many contacts are held."""
    rows = await session.tuples(
        "SELECT source, reason, count(*) FROM held WHERE tenant = :tenant GROUP BY source, reason",
        {"tenant": session.tenant},
    )
    found: dict[str, dict[str, int]] = {}
    for slug, reason, count in rows:
        found.setdefault(slug, {})[reason] = count
    return found
