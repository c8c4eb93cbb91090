"""Queries of agents' states: the points that receipts report, and the intervals derived from them. Instants are
milliseconds since 1970."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, TypedDict
from uuid import UUID

from contracts import Mode
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


class AgentNames(TypedDict):
    """All names that a notice gives an agent."""

    agent: str
    names: list[str]


class InsertPoint(TypedDict):
    """From `at` on, the agent was in `state` (None: logged out), as a notice of time `stamp` reports."""

    agent: str
    at: int
    state: str | None
    stamp: int


async def upsert_points(
    session: Session,
    source: str,
    names: Sequence[AgentNames],
    points: Sequence[InsertPoint],
    *,
    receipt_id: UUID,
    mode: str,
) -> None:
    """Writes agents' names and the points that a receipt reports. A point that exists is replaced unless its stamp is
    later."""
    batch = MultiInsert()
    batch.add(_NAMES, names)
    batch.add(_POINTS, points)
    await session.insert_multi(batch, source=source, receipt_id=receipt_id, mode=mode)


class StateRow(NamedTuple):
    """The current version of an interval of an agent's state. `ended` None: it lasts. `workday` None: an older release
    wrote it."""

    agent: str
    started: int
    ended: int | None
    state: str
    version: int
    void: bool
    mode: Mode
    agent_id: UUID
    workday: date | None


async def upsert_states(session: Session, source: str, rows: Iterable[tuple[UUID, StateRow]]) -> None:
    """Writes the current versions of intervals, each with its id."""
    values = ({**row._asdict(), "state_id": state_id} for state_id, row in rows)
    await session.insert_rows(_STATES, values, source=source)


async def load_names(session: Session, source: str, agents: Sequence[str]) -> dict[str, list[str]]:
    """Agent → all its names; unknown agents are left out."""
    rows = await session.tuples(
        "SELECT agent, names FROM agent_name WHERE tenant = :tenant AND source = :source "
        "AND agent = ANY(cast(:agents AS text[]))",
        {"tenant": session.tenant, "source": source, "agents": list(agents)},
    )
    return dict(rows)


class StatePoint(NamedTuple):
    """From `at` on, the agent was in `state` (None: logged out), as the receipt reports."""

    agent: str
    at: int
    state: str | None
    receipt_id: UUID
    mode: Mode


async def load_points_since(session: Session, source: str, since: Mapping[str, int]) -> list[StatePoint]:
    """Points by agent and instant, from the last one before `since[agent]` on. Of equal instants the point with the latest
    stamp comes first."""
    rows = await session.tuples(
        f"SELECT p.agent, p.at, p.state, p.receipt_id, p.mode FROM {_FROM} "  # noqa: S608
        "JOIN agent_point p ON p.agent = f.agent AND p.at >= coalesce((SELECT max(b.at) FROM agent_point b "
        "WHERE b.tenant = :tenant AND b.source = :source AND b.agent = f.agent AND b.at < f.low), f.low) "
        "WHERE p.tenant = :tenant AND p.source = :source ORDER BY p.agent, p.at, p.stamp DESC",
        {"tenant": session.tenant, "source": source, "agents": list(since), "from": list(since.values())},
    )
    return [StatePoint(*row) for row in rows]


_STATE_COLUMNS = ", ".join(f"s.{name}" for name in StateRow._fields)


async def load_states_since(session: Session, source: str, since: Mapping[str, int]) -> list[StateRow]:
    """Stored intervals that start at `since[agent]` or later, in no order."""
    rows = await session.tuples(
        f"SELECT {_STATE_COLUMNS} FROM {_FROM} JOIN agent_state s ON s.agent = f.agent AND s.started >= f.low "  # noqa: S608
        "WHERE s.tenant = :tenant AND s.source = :source",
        {"tenant": session.tenant, "source": source, "agents": list(since), "from": list(since.values())},
    )
    return [StateRow(*row) for row in rows]


async def delete_points(session: Session, receipt_id: UUID, agents: Sequence[str]) -> dict[str, int]:
    """Deletes the points of these agents that this receipt reported. Returns agent → the earliest deleted instant."""
    rows = await session.tuples(
        "WITH gone AS (DELETE FROM agent_point WHERE tenant = :tenant AND receipt_id = :id "
        "AND agent = ANY(cast(:agents AS text[])) RETURNING agent, at) "
        "SELECT agent, min(at) FROM gone GROUP BY agent",
        {"tenant": session.tenant, "id": receipt_id, "agents": list(agents)},
    )
    return dict(rows)


async def load_agents_of_receipt(session: Session, receipt_id: UUID, after: str, limit: int) -> list[str]:
    """The agents whose states this receipt reports, in order, those after `after`."""
    return await session.scalars(
        "SELECT DISTINCT agent FROM agent_point WHERE tenant = :tenant AND receipt_id = :id AND agent > :after "
        "ORDER BY agent LIMIT :limit",
        {"tenant": session.tenant, "id": receipt_id, "after": after, "limit": limit},
    )


class SourceAgent(NamedTuple):
    """An agent of a source, by the name that never changes."""

    source: str
    agent: str


async def find_agents_of_person(session: Session, person_id: UUID) -> list[SourceAgent]:
    """The agents who have one of the person's names, or whose states were the person's."""
    rows = await session.tuples(
        "SELECT a.source, a.agent FROM directory_external_id n "
        "JOIN agent_name a ON a.tenant = n.tenant AND a.source = n.source AND n.external_id = ANY(a.names) "
        "WHERE n.tenant = :tenant AND n.person_id = :id "
        "UNION SELECT source, agent FROM agent_state WHERE tenant = :tenant AND agent_id = :id AND NOT void",
        {"tenant": session.tenant, "id": person_id},
    )
    return [SourceAgent(*row) for row in rows]
