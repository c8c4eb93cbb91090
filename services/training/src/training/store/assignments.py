"""Assignments, attempts, and what rules held back."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.envelope import AgentEvent
from servicekit.directory import workday
from servicekit.visibility import VisibilityFilter
from sqlalchemy import insert, update
from storage import Session, build_insert, encode_rows_parameter

from training.model.assignment_changes import AssignmentChanges, Row
from training.model.rules import EarlierAssignment
from training.store.tables import assignment, attempt, skipped

_SELECT = """
SELECT a.*, p.slug AS agent, p.body->>'display_name' AS name, c.title, c.kind FROM assignment a
LEFT JOIN directory_person p ON p.tenant = a.tenant AND p.id = a.agent_id
JOIN template_version v ON v.tenant = a.tenant AND v.template = a.template AND v.version = a.template_version
JOIN content c ON c.tenant = v.tenant AND c.document = v.document
WHERE a.tenant = :tenant
"""


_FIRST = workday("a.agent_id", "a.assigned_at")
_LAST = f"coalesce({workday('a.agent_id', 'coalesce(a.completed_at, a.withdrawn_at)')}, 'infinity')"


async def lock_agent(session: Session, agent_id: UUID) -> None:
    """One at a time gives this person something, so that two rules cannot both take the last place: whoever gives by
    hand takes turns with the reader of bands."""
    await session.lock_keys([AgentEvent(agent_id=agent_id).key(session.tenant)])


async def load_earlier(session: Session, agents: Collection[UUID]) -> dict[UUID, dict[UUID, EarlierAssignment]]:
    """All that these people have or had, by person and assignment."""
    earlier: dict[UUID, dict[UUID, EarlierAssignment]] = {agent_id: {} for agent_id in agents}
    if not agents:
        return earlier
    for agent_id, assignment_id, *rest in await session.execute(
        "SELECT agent_id, id, template, status, assigned_at, corrected FROM assignment "
        "WHERE tenant = :tenant AND agent_id = ANY(cast(:agents AS uuid[])) ORDER BY id",
        {"tenant": session.tenant, "agents": list(agents)},
    ):
        earlier[agent_id][assignment_id] = EarlierAssignment(*rest)
    return earlier


async def insert_assignments(session: Session, rows: Iterable[Row]) -> None:
    await session.run(_ADD, encode_rows_parameter(rows, tenant=session.tenant))


async def write_changes(session: Session, changes: AssignmentChanges) -> None:
    """What was given, changed and held back; the clock hears of new due dates."""
    if changes.new:
        await insert_assignments(session, changes.new.values())
    if changes.changed:
        changed = encode_rows_parameter(changes.changed.values())
        await session.run(_CHANGE, {"tenant": session.tenant, "ids": list(changes.changed), **changed})
    if changes.skipped:
        await session.run(_ADD_SKIPPED, encode_rows_parameter(changes.skipped, tenant=session.tenant))
    if changes.due_dates:
        same: dict[str, Any] = {"tenant": session.tenant, "body": {}}
        await session.schedule_all("overdue", [{"ref": id, "at": at, **same} for id, at in changes.due_dates.items()])


_ADD = build_insert(assignment)
_ADD_SKIPPED = build_insert(skipped, suffix_sql="ON CONFLICT DO NOTHING")
_CHANGE = """
UPDATE assignment AS a SET status = c.status, due_at = c.due_at, overdue_at = c.overdue_at, corrected = c.corrected,
    withdrawn_at = c.withdrawn_at, withdrawn_reason = c.withdrawn_reason,
    withdrawn_code = c.withdrawn_code, withdrawn_values = c.withdrawn_values, version = c.version
FROM json_to_recordset(cast(:rows AS json)) AS c(id uuid, status text, due_at timestamptz, overdue_at timestamptz,
    corrected boolean, withdrawn_at timestamptz, withdrawn_reason text, withdrawn_code text,
    withdrawn_values jsonb, version integer)
WHERE a.tenant = :tenant AND a.id = c.id AND a.id = ANY(cast(:ids AS uuid[]))
"""


async def find(session: Session, assignment_id: UUID, *, lock: bool = False) -> dict[str, Any] | None:
    """With `agent` (slug), `name`, `title` and `kind`. `lock`: nobody else changes it until the commit."""
    return await session.row(
        f"{_SELECT} AND a.id = :id {'FOR UPDATE OF a' if lock else ''}",
        {"tenant": session.tenant, "id": assignment_id},
    )


async def load_by_stays(session: Session, band_event_ids: Collection[UUID]) -> list[Row]:
    """Locked, as for a change."""
    return await session.rows(
        f"{_SELECT} AND a.band_event_id = ANY(cast(:ids AS uuid[])) ORDER BY a.id FOR UPDATE OF a",
        {"tenant": session.tenant, "ids": list(band_event_ids)},
    )


async def load_by_occasions(session: Session, occasions: Collection[str]) -> list[Row]:
    """Locked, as for a change."""
    return await session.rows(
        f"{_SELECT} AND a.rule IS NOT NULL AND a.occasion = ANY(cast(:occasions AS text[])) ORDER BY a.id FOR UPDATE OF a",
        {"tenant": session.tenant, "occasions": list(occasions)},
    )


async def update_assignment(session: Session, assignment_id: UUID, **changes: Any) -> None:
    statement = update(assignment).where(assignment.c.tenant == session.tenant, assignment.c.id == assignment_id)
    await session.execute(statement.values(version=assignment.c.version + 1, **changes))


async def load_page(
    session: Session,
    *,
    visible: VisibilityFilter,
    status: str | None,
    template: str | None,
    overdue: bool | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first. An assignment is of all the days from its first to the one on which it was closed."""
    return await session.rows(
        f"{_SELECT} AND {visible.filter_sql('a.agent_id', _FIRST, _LAST)} "
        "AND (cast(:status AS text) IS NULL OR a.status = :status) "
        "AND (cast(:template AS text) IS NULL OR a.template = :template) "
        "AND (cast(:overdue AS boolean) IS NULL OR "
        "(a.overdue_at IS NOT NULL AND a.status IN ('assigned', 'started')) = :overdue) "
        "AND (cast(:at AS timestamptz) IS NULL OR (a.assigned_at, a.id) < (:at, cast(:id AS uuid))) "
        "ORDER BY a.assigned_at DESC, a.id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            **visible.parameters,
            "status": status,
            "template": template,
            "overdue": overdue,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    )


async def is_visible(session: Session, assignment_id: UUID, visible: VisibilityFilter) -> bool:
    return bool(
        await session.scalar(
            "SELECT 1 FROM assignment a WHERE a.tenant = :tenant AND a.id = :id "  # noqa: S608
            f"AND {visible.filter_sql('a.agent_id', _FIRST, _LAST)}",
            {"tenant": session.tenant, "id": assignment_id, **visible.parameters},
        )
    )


async def add_attempt(session: Session, **values: Any) -> None:
    await session.execute(insert(attempt).values(tenant=session.tenant, at=session.now, **values))


async def load_attempts(session: Session, assignment_id: UUID) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT number, at, score_percent, passed FROM attempt WHERE tenant = :tenant AND assignment_id = :id "
        "ORDER BY number",
        {"tenant": session.tenant, "id": assignment_id},
    )


async def load_skipped_page(
    session: Session,
    *,
    visible: VisibilityFilter,
    rule: str | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT s.rule, s.occasion, s.band_event_id, s.agent_id, p.slug AS agent, p.body->>'display_name' AS name, "  # noqa: S608
        "s.template, s.reason, s.detail, s.at "
        "FROM skipped s LEFT JOIN directory_person p ON p.tenant = s.tenant AND p.id = s.agent_id "
        f"WHERE s.tenant = :tenant AND {visible.filter_sql('s.agent_id', workday('s.agent_id', 's.at'))} "
        "AND (cast(:rule AS text) IS NULL OR s.rule = :rule) "
        "AND (cast(:at AS timestamptz) IS NULL OR "
        "(s.at, s.occasion, s.rule) < (:at, cast(:id AS text), cast(:last_rule AS text))) "
        "ORDER BY s.at DESC, s.occasion DESC, s.rule DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            **visible.parameters,
            "rule": rule,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "last_rule": after[2] if after else None,
            "limit": limit,
        },
    )


async def find_bands_given_for(session: Session, template: str) -> set[tuple[str, str]]:
    """(kpi, band) of rules that give this template, now or once."""
    rows = await session.rows(
        "SELECT body->>'kpi' AS kpi, body->>'band' AS band FROM rule "
        "WHERE tenant = :tenant AND body->>'template' = :template AND body->>'kpi' IS NOT NULL "
        "UNION SELECT kpi, band FROM assignment "
        "WHERE tenant = :tenant AND template = :template AND kpi IS NOT NULL",
        {"tenant": session.tenant, "template": template},
    )
    return {(row["kpi"], row["band"]) for row in rows}


async def load_completions(session: Session, template: str, visible: VisibilityFilter) -> list[tuple[UUID, datetime]]:
    """When each person first completed it well."""
    rows = await session.rows(
        "SELECT agent_id, min(completed_at) AS at FROM assignment a WHERE tenant = :tenant AND template = :template "  # noqa: S608
        f"AND status = 'completed' AND {visible.filter_sql('a.agent_id', _FIRST, _LAST)} GROUP BY agent_id",
        {"tenant": session.tenant, "template": template, **visible.parameters},
    )
    return [(row["agent_id"], row["at"]) for row in rows]
