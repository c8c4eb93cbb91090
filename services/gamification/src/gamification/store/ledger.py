"""The ledger: booked, taken back, summed up; never changed."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from storage import Session

from gamification.store.tables import heard_correction, ledger


async def lock_agent(session: Session, agent_id: UUID) -> None:
    """One at a time books for this person, whichever door it comes in by."""
    await session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended("
        "'ledger ' || cast(:tenant AS text) || ' ' || cast(:agent AS text), 0))",
        {"tenant": session.tenant, "agent": str(agent_id)},
    )


async def book(session: Session, **values: Any) -> bool:
    """False when this has been booked before: same agent, rule, cause and occasion, or a reversal of the same entry."""
    statement = insert(ledger).values(tenant=session.tenant, at=session.now, **values).on_conflict_do_nothing()
    return await session.scalar(statement.returning(ledger.c.id)) is not None


async def standing(
    session: Session, agent_id: UUID, causes: Collection[str], *, rule: str | None = None
) -> list[dict[str, Any]]:
    """Grants for these causes that have not been taken back."""
    return await session.rows(
        "SELECT g.* FROM ledger g WHERE g.tenant = :tenant AND g.agent_id = :agent AND g.cause = ANY(:causes) "
        "AND (cast(:rule AS text) IS NULL OR g.rule = :rule) AND g.reverses IS NULL AND NOT EXISTS ("
        "SELECT 1 FROM ledger r WHERE r.tenant = g.tenant AND r.reverses = g.id) ORDER BY g.id",
        {"tenant": session.tenant, "agent": agent_id, "causes": list(causes), "rule": rule},
    )


async def hear_correction(session: Session, event_id: UUID) -> bool:
    """False when it was heard before."""
    statement = insert(heard_correction).values(tenant=session.tenant, event_id=event_id).on_conflict_do_nothing()
    return await session.scalar(statement.returning(heard_correction.c.event_id)) is not None


async def times_granted(session: Session, agent_id: UUID, rule: str, cause: str) -> int:
    """How often the rule has given something for the cause, taken back or not."""
    return await session.scalar(
        "SELECT count(*) FROM ledger WHERE tenant = :tenant AND agent_id = :agent AND rule = :rule "
        "AND cause = :cause AND reverses IS NULL",
        {"tenant": session.tenant, "agent": agent_id, "rule": rule, "cause": cause},
    )


async def balance(session: Session, agent_id: UUID) -> int:
    return await session.scalar(
        "SELECT coalesce(sum(points), 0) FROM ledger WHERE tenant = :tenant AND agent_id = :agent",
        {"tenant": session.tenant, "agent": agent_id},
    )


async def page(
    session: Session,
    *,
    agents: Collection[UUID] | None,
    rule: str | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first. `agents` None: everyone's."""
    return await session.rows(
        "SELECT l.*, p.slug AS agent, p.body->>'display_name' AS name FROM ledger l "
        "LEFT JOIN directory_person p ON p.tenant = l.tenant AND p.id = l.agent_id WHERE l.tenant = :tenant "
        "AND (cast(:agents AS uuid[]) IS NULL OR l.agent_id = ANY(cast(:agents AS uuid[]))) "
        "AND (cast(:rule AS text) IS NULL OR l.rule = :rule) "
        "AND (cast(:at AS timestamptz) IS NULL OR (l.at, l.id) < (:at, cast(:id AS uuid))) "
        "ORDER BY l.at DESC, l.id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            "agents": None if agents is None else list(agents),
            "rule": rule,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    )


async def ranking(
    session: Session,
    *,
    first: date,
    end: date,
    rules: Sequence[str] | None,
    agents: Collection[UUID] | None,
    min_entries: int,
) -> list[dict[str, Any]]:
    """Agents by points earned from `first` up to but not including `end`: rank (equal points share one), agent,
    points, and how many grants stand. People who were switched off are left out."""
    return await session.rows(
        "WITH sums AS (SELECT agent_id, sum(points) AS points, sum(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END) "
        "AS entries FROM ledger WHERE tenant = :tenant AND earned_on >= :first AND earned_on < :end "
        "AND (cast(:rules AS text[]) IS NULL OR rule = ANY(cast(:rules AS text[]))) "
        "AND (cast(:agents AS uuid[]) IS NULL OR agent_id = ANY(cast(:agents AS uuid[]))) GROUP BY agent_id) "
        "SELECT rank() OVER (ORDER BY s.points DESC) AS rank, s.agent_id, s.points, s.entries, "
        "p.slug AS agent, p.body->>'display_name' AS name FROM sums s "
        "JOIN directory_person p ON p.tenant = :tenant AND p.id = s.agent_id AND p.active "
        "WHERE s.entries >= :min_entries ORDER BY s.points DESC, s.agent_id",
        {
            "tenant": session.tenant,
            "first": first,
            "end": end,
            "rules": None if rules is None else list(rules),
            "agents": None if agents is None else list(agents),
            "min_entries": min_entries,
        },
    )
