"""Agents' states: what receipts said of them, and the stretches that follow."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from storage import InsertSpec, MultiInsert, Session

from ingest.store.tables import agent_name, agent_point, agent_state

_POINTS = InsertSpec(
    agent_point,
    ("agent", "at", "state", "stamp"),
    ("tenant", "source", "receipt_id", "mode"),
    "ON CONFLICT (tenant, source, agent, at, receipt_id) DO UPDATE SET state = excluded.state, stamp = excluded.stamp "
    "WHERE excluded.stamp >= agent_point.stamp",
)
_NAMES = InsertSpec(
    agent_name,
    ("agent", "names"),
    ("tenant", "source"),
    "ON CONFLICT (tenant, source, agent) DO UPDATE SET names = excluded.names WHERE agent_name.names <> excluded.names",
)
_STATES = InsertSpec(
    agent_state,
    ("agent", "started", "ended", "state", "state_id", "version", "void", "mode", "agent_id", "workday"),
    ("tenant", "source"),
    "ON CONFLICT (tenant, source, agent, started) DO UPDATE SET ended = excluded.ended, state = excluded.state, "
    "version = excluded.version, void = excluded.void, mode = excluded.mode, agent_id = excluded.agent_id, "
    "workday = excluded.workday",
)
_FROM = "unnest(cast(:agents AS text[]), cast(:from AS bigint[])) AS f(agent, low)"


async def upsert_points(
    session: Session,
    source: str,
    names: Sequence[dict[str, Any]],
    points: Sequence[dict[str, Any]],
    *,
    receipt_id: UUID,
    mode: str,
) -> None:
    """Agents with their names, and what a receipt says of their states."""
    batch = MultiInsert()
    batch.add(_NAMES, names)
    batch.add(_POINTS, points)
    await session.insert_multi(batch, source=source, receipt_id=receipt_id, mode=mode)


async def upsert_states(session: Session, source: str, rows: Sequence[dict[str, Any]]) -> None:
    await session.insert_rows(_STATES, rows, source=source)


async def load_names(session: Session, source: str, agents: Sequence[str]) -> dict[str, list[str]]:
    rows = await session.rows(
        "SELECT agent, names FROM agent_name WHERE tenant = :tenant AND source = :source "
        "AND agent = ANY(cast(:agents AS text[]))",
        {"tenant": session.tenant, "source": source, "agents": list(agents)},
    )
    return {row["agent"]: row["names"] for row in rows}


async def load_points_since(session: Session, source: str, since: Mapping[str, int]) -> list[dict[str, Any]]:
    """By agent, the points from the last one before the given instant on; of one instant the newest notice first."""
    return await session.rows(
        f"SELECT p.agent, p.at, p.state, p.stamp, p.receipt_id, p.mode FROM {_FROM} "  # noqa: S608
        "JOIN agent_point p ON p.agent = f.agent AND p.at >= coalesce((SELECT max(b.at) FROM agent_point b "
        "WHERE b.tenant = :tenant AND b.source = :source AND b.agent = f.agent AND b.at < f.low), f.low) "
        "WHERE p.tenant = :tenant AND p.source = :source ORDER BY p.agent, p.at, p.stamp DESC",
        {"tenant": session.tenant, "source": source, "agents": list(since), "from": list(since.values())},
    )


async def load_states_since(session: Session, source: str, since: Mapping[str, int]) -> list[dict[str, Any]]:
    return await session.rows(
        f"SELECT s.* FROM {_FROM} JOIN agent_state s ON s.agent = f.agent AND s.started >= f.low "  # noqa: S608
        "WHERE s.tenant = :tenant AND s.source = :source",
        {"tenant": session.tenant, "source": source, "agents": list(since), "from": list(since.values())},
    )


async def delete_points(session: Session, receipt_id: UUID, agents: Sequence[str]) -> dict[str, int]:
    """Removes what only this receipt said of these agents. Returns by agent the earliest instant concerned."""
    rows = await session.rows(
        "WITH gone AS (DELETE FROM agent_point WHERE tenant = :tenant AND receipt_id = :id "
        "AND agent = ANY(cast(:agents AS text[])) RETURNING agent, at) "
        "SELECT agent, min(at) AS since FROM gone GROUP BY agent",
        {"tenant": session.tenant, "id": receipt_id, "agents": list(agents)},
    )
    return {row["agent"]: row["since"] for row in rows}


async def agents_of(session: Session, receipt_id: UUID, after: str, limit: int) -> list[str]:
    """The agents of whose states this receipt speaks, in order, behind `after`."""
    return await session.scalars(
        "SELECT DISTINCT agent FROM agent_point WHERE tenant = :tenant AND receipt_id = :id AND agent > :after "
        "ORDER BY agent LIMIT :limit",
        {"tenant": session.tenant, "id": receipt_id, "after": after, "limit": limit},
    )


async def find_agents_of_person(session: Session, person_id: UUID) -> list[dict[str, Any]]:
    """Source and agent of the agents who bear one of the person's names, or whose states were the person's."""
    return await session.rows(
        "SELECT a.source, a.agent FROM directory_external_id n "
        "JOIN agent_name a ON a.tenant = n.tenant AND a.source = n.source AND n.external_id = ANY(a.names) "
        "WHERE n.tenant = :tenant AND n.person_id = :id "
        "UNION SELECT source, agent FROM agent_state WHERE tenant = :tenant AND agent_id = :id AND NOT void",
        {"tenant": session.tenant, "id": person_id},
    )
