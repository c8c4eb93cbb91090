"""Assignments, attempts, and what rules held back."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from training.model.rules import Earlier
from training.store.tables import assignment, attempt, skipped

_SELECT = """
SELECT a.*, p.slug AS agent, p.body->>'display_name' AS name, c.title, c.kind FROM assignment a
LEFT JOIN directory_person p ON p.tenant = a.tenant AND p.id = a.agent_id
JOIN template_version v ON v.tenant = a.tenant AND v.template = a.template AND v.version = a.template_version
JOIN content c ON c.tenant = v.tenant AND c.document = v.document
WHERE a.tenant = :tenant
"""


async def lock_agent(session: Session, agent_id: UUID) -> None:
    """One at a time gives this person something, so that two rules cannot both take the last place."""
    await session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('assign ' || cast(:tenant AS text) || ' ' || cast(:agent AS text), 0))",
        {"tenant": session.tenant, "agent": str(agent_id)},
    )


async def earlier_of(session: Session, agent_id: UUID) -> list[Earlier]:
    rows = await session.rows(
        "SELECT template, status, assigned_at, corrected FROM assignment WHERE tenant = :tenant AND agent_id = :agent",
        {"tenant": session.tenant, "agent": agent_id},
    )
    return [Earlier(**row) for row in rows]


async def add(session: Session, **values: Any) -> bool:
    """False when this rule has given something for this band event before."""
    statement = insert(assignment).values(tenant=session.tenant, **values).on_conflict_do_nothing()
    return await session.scalar(statement.returning(assignment.c.id)) is not None


async def find(session: Session, assignment_id: UUID, *, lock: bool = False) -> dict[str, Any] | None:
    """With `agent` (slug), `name`, `title` and `kind`. `lock`: nobody else changes it until the commit."""
    return await session.row(
        f"{_SELECT} AND a.id = :id {'FOR UPDATE OF a' if lock else ''}",
        {"tenant": session.tenant, "id": assignment_id},
    )


async def of_band_event(session: Session, band_event_id: UUID) -> list[dict[str, Any]]:
    """Locked, as for a change."""
    return await session.rows(
        f"{_SELECT} AND a.band_event_id = :id ORDER BY a.id FOR UPDATE OF a",
        {"tenant": session.tenant, "id": band_event_id},
    )


async def change(session: Session, assignment_id: UUID, **changes: Any) -> None:
    statement = update(assignment).where(assignment.c.tenant == session.tenant, assignment.c.id == assignment_id)
    await session.execute(statement.values(**changes))


async def page(
    session: Session,
    *,
    agents: Collection[UUID] | None,
    status: str | None,
    template: str | None,
    overdue: bool | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first. `agents` None: everyone's."""
    return await session.rows(
        f"{_SELECT} AND (cast(:agents AS uuid[]) IS NULL OR a.agent_id = ANY(cast(:agents AS uuid[]))) "
        "AND (cast(:status AS text) IS NULL OR a.status = :status) "
        "AND (cast(:template AS text) IS NULL OR a.template = :template) "
        "AND (cast(:overdue AS boolean) IS NULL OR "
        "(a.overdue_at IS NOT NULL AND a.status IN ('assigned', 'started')) = :overdue) "
        "AND (cast(:at AS timestamptz) IS NULL OR (a.assigned_at, a.id) < (:at, cast(:id AS uuid))) "
        "ORDER BY a.assigned_at DESC, a.id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            "agents": None if agents is None else list(agents),
            "status": status,
            "template": template,
            "overdue": overdue,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    )


async def add_attempt(session: Session, **values: Any) -> None:
    await session.execute(insert(attempt).values(tenant=session.tenant, at=session.now, **values))


async def attempts_of(session: Session, assignment_id: UUID) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT number, at, score_percent, passed FROM attempt WHERE tenant = :tenant AND assignment_id = :id "
        "ORDER BY number",
        {"tenant": session.tenant, "id": assignment_id},
    )


async def add_skipped(session: Session, **values: Any) -> None:
    await session.execute(
        insert(skipped).values(tenant=session.tenant, at=session.now, **values).on_conflict_do_nothing()
    )


async def page_skipped(
    session: Session,
    *,
    agents: Collection[UUID] | None,
    rule: str | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT s.rule, s.band_event_id, s.agent_id, p.slug AS agent, p.body->>'display_name' AS name, "
        "s.template, s.reason, s.detail, s.at "
        "FROM skipped s LEFT JOIN directory_person p ON p.tenant = s.tenant AND p.id = s.agent_id "
        "WHERE s.tenant = :tenant "
        "AND (cast(:agents AS uuid[]) IS NULL OR s.agent_id = ANY(cast(:agents AS uuid[]))) "
        "AND (cast(:rule AS text) IS NULL OR s.rule = :rule) "
        "AND (cast(:at AS timestamptz) IS NULL OR "
        "(s.at, s.band_event_id, s.rule) < (:at, cast(:id AS uuid), cast(:last_rule AS text))) "
        "ORDER BY s.at DESC, s.band_event_id DESC, s.rule DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            "agents": None if agents is None else list(agents),
            "rule": rule,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "last_rule": after[2] if after else None,
            "limit": limit,
        },
    )


async def bands_given_for(session: Session, template: str) -> set[tuple[str, str]]:
    """(kpi, band) of rules that give this template, now or once."""
    rows = await session.rows(
        "SELECT body->>'kpi' AS kpi, body->>'band' AS band FROM rule "
        "WHERE tenant = :tenant AND body->>'template' = :template "
        "UNION SELECT kpi, band FROM assignment "
        "WHERE tenant = :tenant AND template = :template AND kpi IS NOT NULL",
        {"tenant": session.tenant, "template": template},
    )
    return {(row["kpi"], row["band"]) for row in rows}


async def completions(session: Session, template: str, agents: Collection[UUID] | None) -> list[tuple[UUID, datetime]]:
    """When each person first completed it well."""
    rows = await session.rows(
        "SELECT agent_id, min(completed_at) AS at FROM assignment WHERE tenant = :tenant AND template = :template "
        "AND status = 'completed' AND (cast(:agents AS uuid[]) IS NULL OR agent_id = ANY(cast(:agents AS uuid[]))) "
        "GROUP BY agent_id",
        {"tenant": session.tenant, "template": template, "agents": None if agents is None else list(agents)},
    )
    return [(row["agent_id"], row["at"]) for row in rows]
