"""Agent events become intervals of agents' states. An interval starts at a point that a notice reports and ends where the
next one starts. It is split where a workday of the agent begins, so that it counts for each day."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from contracts import Mode, derived_id
from contracts.legs import AgentStateChanged
from storage import Session

from ingest.model.canonical import EPOCH, Agent
from ingest.model.parts import StateNotice
from ingest.model.roster import Roster
from ingest.store import held_contacts, locks, records, roster, states
from ingest.store.held_contacts import HeldRow
from ingest.store.states import AgentNames, InsertPoint, StatePoint, StateRow


class _Interval(NamedTuple):
    """The agent was in `state` from `started` to `ended` (None: it lasts), in milliseconds since 1970."""

    agent: str
    started: int
    ended: int | None
    state: str
    mode: Mode


@dataclass
class StateChanges:
    """What a derivation changed. `changed`: agents of which an interval changed; `held`: agents whom the directory does not
    know → their names; `recorded_count`: new versions of intervals; `agents`: the people whose intervals changed."""

    changed: set[str] = field(default_factory=set[str])
    held: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    recorded_count: int = 0
    agents: set[UUID] = field(default_factory=set[UUID])


def agent_key(notice: StateNotice) -> str:
    """The name by which an agent is stored: the last one in a notice, which never changes."""
    return notice.agents[-1]


async def record_notices(
    session: Session, source: str, notices: Sequence[StateNotice], *, mode: str, receipt_id: UUID
) -> StateChanges:
    """Stores the notices' points, and derives the affected intervals."""
    await locks.lock_contacts(session, source, [agent_key(notice) for notice in notices])
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
    name_rows: list[AgentNames] = [{"agent": agent, "names": given} for agent, given in names.items()]
    point_rows: list[InsertPoint] = [
        {"agent": agent, "at": at, "state": state, "stamp": stamp} for (agent, at), (stamp, state) in points.items()
    ]
    await states.upsert_points(session, source, name_rows, point_rows, receipt_id=receipt_id, mode=mode)
    return await derive_states(session, source, since)


async def derive_states(
    session: Session, source: str, since: Mapping[str, int], *, excluded_receipt_id: UUID | None = None
) -> StateChanges:
    """Derives the intervals of these agents from `since[agent]` on, and writes those that changed. `excluded_receipt_id`:
    as if this receipt did not exist; then nothing is written."""
    await locks.lock_contacts(session, source, since)
    names = await states.load_names(session, source, list(since))
    people = await roster.load_roster(session, source, [name for given in names.values() for name in given])
    points = await states.load_points_since(session, source, since)
    intervals = _build_intervals([each for each in points if each.receipt_id != excluded_receipt_id])
    first = dict(since)  # agent → start of the first interval to compare
    for each in intervals:
        first[each.agent] = min(first[each.agent], each.started)
    before = {(row.agent, row.started): row for row in await states.load_states_since(session, source, first)}
    result = StateChanges()
    rows: list[StateRow] = []
    for each in intervals:
        for piece, agent in _split_by_workday(each, names.get(each.agent, []), people):
            if agent is None:
                result.held[piece.agent] = names.get(piece.agent, [])
                continue
            row = before.pop((piece.agent, piece.started), None)
            version = row.version + 1 if row else 1
            derived = StateRow(
                piece.agent,
                piece.started,
                piece.ended,
                piece.state,
                version,
                False,
                piece.mode,
                agent.id,
                agent.workday,
            )
            if row is None or row.void or _content(row) != _content(derived):
                rows.append(derived)
    for row in before.values():
        if not row.void:
            day = row.workday or people.workdays.workday_of(row.agent_id, row.started)
            rows.append(row._replace(workday=day, version=row.version + 1, void=True))
    result.recorded_count = len(rows)
    result.changed = {row.agent for row in rows}
    result.agents = {row.agent_id for row in rows}
    if excluded_receipt_id is None:
        await _write_states(session, source, rows)
        await _reconcile_held(session, source, list(since), result.held)
    return result


def _content(row: StateRow) -> tuple[object, ...]:
    """What makes a new version when it differs."""
    return row.ended, row.state, row.agent_id, row.workday


def _build_intervals(points: Sequence[StatePoint]) -> list[_Interval]:
    """The intervals of each agent, by start. Of points of one instant the first in `points` counts."""
    effective: dict[str, dict[int, StatePoint]] = {}
    for point in points:
        effective.setdefault(point.agent, {}).setdefault(point.at, point)
    intervals: list[_Interval] = []
    for agent, by_instant in effective.items():
        instants = sorted(by_instant)
        for started, ended in zip(instants, [*instants[1:], None], strict=True):
            point = by_instant[started]
            if point.state is not None:
                intervals.append(_Interval(agent, started, ended, point.state, point.mode))
    return intervals


def _split_by_workday(
    interval: _Interval, names: list[str], people: Roster
) -> Iterator[tuple[_Interval, Agent | None]]:
    """The interval split by workday, each piece with the person whom the names mean then. An interval that lasts is one
    piece, of the workday in which it started."""
    started, ended = interval.started, interval.ended
    while True:
        agent = people.agent_of(names, started)
        day_end = people.workday_end_ms(agent, started)
        if ended is None or day_end >= ended:
            yield interval._replace(started=started), agent
            return
        yield interval._replace(started=started, ended=day_end), agent
        started = day_end


async def _write_states(session: Session, source: str, rows: Sequence[StateRow]) -> None:
    written: list[tuple[UUID, StateRow]] = []
    for row in rows:
        assert row.workday is not None, "a derived row has a workday"
        state_id = derived_id("agent state", session.tenant, source, row.agent, row.started)
        written.append((state_id, row))
        session.emit(
            AgentStateChanged(
                agent_id=row.agent_id,
                state_id=state_id,
                version=row.version,
                void=row.void,
                mode=row.mode,
                source=source,
                state=row.state,
                started_at=EPOCH + timedelta(milliseconds=row.started),
                ended_at=None if row.ended is None else EPOCH + timedelta(milliseconds=row.ended),
                workday=row.workday,
                duration_ms=None if row.ended is None else row.ended - row.started,
            )
        )
    await states.upsert_states(session, source, written)


async def _reconcile_held(session: Session, source: str, agents: Sequence[str], held: dict[str, list[str]]) -> None:
    """Deletes agents that are no longer held, and accepts their records; inserts those that are held."""
    before = {row.contact for row in await held_contacts.load_held(session, source, agents)}
    gone = [agent for agent in before if agent not in held]
    await held_contacts.delete_held(session, source, gone)
    await records.accept_held_agents(session, source, gone)
    rows = [HeldRow(agent, agent, "unknown_agent", names) for agent, names in held.items()]
    await held_contacts.upsert_held(session, source, rows)
