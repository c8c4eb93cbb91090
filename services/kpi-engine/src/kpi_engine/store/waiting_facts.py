"""Defers facts of tenants whose models are being changed, so that consumers go on with other tenants."""

from collections.abc import Sequence

from contracts import Attributes, Mode
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from kpi_engine.store.tables import waiting_fact

FactEvent = tuple[Attributes, str, bytes]
"""Attributes, key and JSON of an event that carries a fact."""

PAGE_ROWS = 500
_POP = """
DELETE FROM waiting_fact WHERE (tenant, id) IN (
    SELECT tenant, id FROM waiting_fact WHERE tenant = :tenant AND mode = :mode ORDER BY id LIMIT :page FOR UPDATE)
RETURNING id, headers, key, value
"""


async def defer_facts(session: Session, events: Sequence[FactEvent], *, mode: Mode) -> None:
    """Stores events of several tenants and schedules their application. Their order does not matter: facts have versions."""
    rows = [
        {"tenant": each.tenant, "id": each.id, "mode": mode, "headers": each.to_headers(), "key": key, "value": raw}
        for each, key, raw in events
    ]
    await session.execute(insert(waiting_fact).on_conflict_do_nothing(), rows)
    # A new body each time: a due item that is being worked on is then run once more.
    newest = {each.tenant: each for each, _, _ in events}
    items = [{"tenant": each.tenant, "at": each.time, "body": {"event": str(each.id)}} for each in newest.values()]
    await session.schedule_all("count", [{**item, "ref": mode, "turn": None} for item in items])


async def pop_page(session: Session, mode: Mode) -> list[FactEvent]:
    """Deletes and returns the oldest deferred events of the session's tenant, at most `PAGE_ROWS`."""
    rows = await session.rows(_POP, {"tenant": session.tenant, "mode": mode, "page": PAGE_ROWS})
    return [
        (Attributes.from_headers(row["headers"]), row["key"], row["value"])
        for row in sorted(rows, key=lambda row: row["id"])
    ]
