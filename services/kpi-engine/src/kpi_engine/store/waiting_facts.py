"""Facts of tenants whose models are being changed: set aside, so that the readers go on with everybody else's."""

from collections.abc import Sequence

from contracts import Attributes, Mode
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from kpi_engine.store.tables import waiting_fact

FactEvent = tuple[Attributes, str, bytes]
"""Attributes, key and JSON of an event that is a fact."""

PAGE_ROWS = 500
_TAKE = """
DELETE FROM waiting_fact WHERE (tenant, id) IN (
    SELECT tenant, id FROM waiting_fact WHERE tenant = :tenant AND mode = :mode ORDER BY id LIMIT :page FOR UPDATE)
RETURNING id, headers, key, value
"""


async def defer_facts(session: Session, events: Sequence[FactEvent], *, mode: Mode) -> None:
    """Keeps the events, of several tenants, until the clock has them counted. In what order does not matter: facts have
    versions."""
    rows = [
        {"tenant": each.tenant, "id": each.id, "mode": mode, "headers": each.to_headers(), "key": key, "value": raw}
        for each, key, raw in events
    ]
    await session.execute(insert(waiting_fact).on_conflict_do_nothing(), rows)
    # Something new in it each time: an item that is being worked at is then done again.
    newest = {each.tenant: each for each, _, _ in events}
    items = [{"tenant": each.tenant, "at": each.time, "body": {"event": str(each.id)}} for each in newest.values()]
    await session.schedule_all("count", [{**item, "ref": mode, "turn": None} for item in items])


async def pop_page(session: Session, mode: Mode) -> list[FactEvent]:
    """Takes the oldest events of the session's tenant that were set aside."""
    rows = await session.rows(_TAKE, {"tenant": session.tenant, "mode": mode, "page": PAGE_ROWS})
    return [
        (Attributes.from_headers(row["headers"]), row["key"], row["value"])
        for row in sorted(rows, key=lambda row: row["id"])
    ]
