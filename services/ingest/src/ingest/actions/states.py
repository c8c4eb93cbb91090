"""Agent events make stretches of agents' states: each begins where a notice says so and ends where the next begins, and is
cut where a workday of the agent begins, so that each day counts what belongs to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts import derived_id
from contracts.legs import AgentStateChanged
from storage import Session

from ingest.model.canonical import EPOCH, Agent
from ingest.model.parts import StateNotice
from ingest.model.roster import Roster
from ingest.store import interactions, receipts, roster, states

_CONTENT = ("ended", "state", "agent_id", "workday")


@dataclass
class StateChanges:
    """By agent (the name a notice gives last, which never changes): whether a stretch changed, whether it is held."""

    changed: set[str] = field(default_factory=set[str])
    held: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    recorded_count: int = 0
    agents: set[UUID] = field(default_factory=set[UUID])


def agent_key(notice: StateNotice) -> str:
    return notice.agents[-1]


async def record_notices(
    session: Session, source: str, notices: Sequence[StateNotice], *, mode: str, receipt_id: UUID
) -> StateChanges:
    """Files the notices' points and derives the stretches that they touch."""
    await interactions.lock_contacts(session, source, [agent_key(notice) for notice in notices])
    points: dict[tuple[str, int], tuple[int, str | None]] = {}
    names: dict[str, list[str]] = {}
    since: dict[str, int] = {}
    for notice in notices:
        agent = agent_key(notice)
        names[agent] = notice.agents
        for at, state in notice.points:
            since[agent] = min(since.get(agent, at), at)
            known = points.get((agent, at))
            if known is None or notice.stamp >= known[0]:
                points[agent, at] = (notice.stamp, state)
    await states.upsert_points(
        session,
        source,
        [{"agent": agent, "names": given} for agent, given in names.items()],
        [{"agent": agent, "at": at, "state": state, "stamp": stamp} for (agent, at), (stamp, state) in points.items()],
        receipt_id=receipt_id,
        mode=mode,
    )
    return await derive_states(session, source, since)


async def derive_states(
    session: Session, source: str, since: Mapping[str, int], *, excluded_receipt_id: UUID | None = None
) -> StateChanges:
    """Derives the stretches of these agents from the given instants on. `without`: as if that receipt had never come,
    and nothing is written."""
    await interactions.lock_contacts(session, source, since)
    names = await states.load_names(session, source, list(since))
    people = await roster.load_roster(session, source, [name for given in names.values() for name in given])
    stretches = _build_intervals(
        [p for p in await states.load_points_since(session, source, since) if p["receipt_id"] != excluded_receipt_id]
    )
    low = {agent: min([at, *(s["started"] for s in stretches if s["agent"] == agent)]) for agent, at in since.items()}
    before = {(row["agent"], row["started"]): row for row in await states.load_states_since(session, source, low)}
    result = StateChanges()
    rows: list[dict[str, Any]] = []
    for stretch, agent in (
        piece for each in stretches for piece in _split_by_workday(each, names.get(each["agent"], []), people)
    ):
        row = before.get((stretch["agent"], stretch["started"]))
        if agent is None:
            result.held[stretch["agent"]] = names.get(stretch["agent"], [])
            continue
        before.pop((stretch["agent"], stretch["started"]), None)
        wanted = {**stretch, "agent_id": agent.id, "workday": agent.workday}
        if row is None or row["void"] or any(row[name] != wanted[name] for name in _CONTENT):
            rows.append({**wanted, "version": row["version"] + 1 if row else 1, "void": False})
    for row in before.values():
        if not row["void"]:
            day = row["workday"] or people.workdays.workday_of(row["agent_id"], row["started"])
            rows.append({**row, "workday": day, "version": row["version"] + 1, "void": True})
    result.recorded_count = len(rows)
    result.changed = {row["agent"] for row in rows}
    result.agents = {row["agent_id"] for row in rows}
    if excluded_receipt_id is None:
        await _write_states(session, source, rows)
        await _reconcile_held(session, source, list(since), result.held)
    return result


def _build_intervals(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each agent in order of time; the newest notice of an instant comes first among `points`."""
    effective: dict[str, dict[int, dict[str, Any]]] = {}
    for point in points:
        effective.setdefault(point["agent"], {}).setdefault(point["at"], point)
    found = []
    for agent, by_instant in effective.items():
        instants = sorted(by_instant)
        for at, then in zip(instants, [*instants[1:], None], strict=True):
            point = by_instant[at]
            if point["state"] is not None:
                found.append(
                    {"agent": agent, "started": at, "ended": then, "state": point["state"], "mode": point["mode"]}
                )
    return found


def _split_by_workday(
    stretch: dict[str, Any], names: list[str], people: Roster
) -> Iterator[tuple[dict[str, Any], Agent | None]]:
    """The stretch by workday, each piece with the person whom the names mean then. While a state lasts it is one piece, of
    the day on which it began."""
    at, ended = stretch["started"], stretch["ended"]
    while True:
        agent = people.agent_of(names, at)
        until = people.workday_end_ms(agent, at)
        if ended is None or until >= ended:
            yield {**stretch, "started": at}, agent
            return
        yield {**stretch, "started": at, "ended": until}, agent
        at = until


async def _write_states(session: Session, source: str, rows: Sequence[dict[str, Any]]) -> None:
    written = []
    for row in rows:
        state_id = derived_id("agent state", session.tenant, source, row["agent"], row["started"])
        written.append({**row, "state_id": state_id})
        session.emit(
            AgentStateChanged(
                agent_id=row["agent_id"],
                state_id=state_id,
                version=row["version"],
                void=row["void"],
                mode=row["mode"],
                source=source,
                state=row["state"],
                started_at=EPOCH + timedelta(milliseconds=row["started"]),
                ended_at=None if row["ended"] is None else EPOCH + timedelta(milliseconds=row["ended"]),
                workday=row["workday"],
                duration_ms=None if row["ended"] is None else row["ended"] - row["started"],
            )
        )
    await states.upsert_states(session, source, written)


async def _reconcile_held(session: Session, source: str, agents: Sequence[str], held: dict[str, list[str]]) -> None:
    before = {row["contact"] for row in await interactions.load_held(session, source, agents)}
    gone = [agent for agent in before if agent not in held]
    await interactions.delete_held(session, source, gone)
    await receipts.accept_held_agents(session, source, gone)
    rows = [
        {"contact": agent, "root": agent, "reason": "unknown_agent", "waits_for": names}
        for agent, names in held.items()
    ]
    await interactions.upsert_held(session, source, rows)
