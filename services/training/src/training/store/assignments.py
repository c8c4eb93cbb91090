"""Queries of assignments, attempts and skipped trainings."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.envelope import AgentEvent
from servicekit.directory import workday
from servicekit.visibility import VisibilityFilter
from sqlalchemy import insert, update
from storage import InsertSpec, Session, encode_rows

from training.model.assignment import AssignmentRow, SkippedRow
from training.model.assignment_changes import AssignmentChanges
from training.model.rules import EarlierAssignment
from training.store.tables import assignment, attempt, skipped

_COLUMNS = ", ".join(f"a.{column.name}" for column in assignment.columns if column.name != "tenant")
_SELECT = f"""
SELECT {_COLUMNS}, p.slug AS agent, p.body->>'display_name' AS name, c.title, c.kind FROM assignment a
LEFT JOIN directory_person p ON p.tenant = a.tenant AND p.id = a.agent_id
JOIN template_version v ON v.tenant = a.tenant AND v.template = a.template AND v.version = a.template_version
JOIN content c ON c.tenant = v.tenant AND c.document = v.document
WHERE a.tenant = :tenant
"""  # noqa: S608

# The workdays on which an assignment was open: for each of them a viewer may or may not see the person.
_FIRST = workday("a.agent_id", "a.assigned_at")
_LAST = f"coalesce({workday('a.agent_id', 'coalesce(a.completed_at, a.withdrawn_at)')}, 'infinity')"


async def lock_agent(session: Session, agent_id: UUID) -> None:
    """Locks a person's assignments until the end of the transaction, against the band consumer and against assignments by
    hand, so that two of them cannot both stay below `max_open`."""
    await session.lock_keys([AgentEvent(agent_id=agent_id).key(session.tenant)])


async def load_earlier(session: Session, agents: Collection[UUID]) -> dict[UUID, dict[UUID, EarlierAssignment]]:
    """All assignments of these people, past and open, by person and assignment."""
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


async def insert_assignments(session: Session, rows: Iterable[AssignmentRow]) -> None:
    """Inserts new assignments."""
    await session.insert_rows(_INSERT, map(vars, rows))


async def write_changes(session: Session, changes: AssignmentChanges) -> None:
    """Writes the new, changed and skipped assignments of a batch and schedules their due dates."""
    if changes.new:
        await insert_assignments(session, changes.new.values())
    if changes.changed:
        rows = encode_rows(map(vars, changes.changed.values()))
        await session.run(_UPDATE, {"tenant": session.tenant, "ids": list(changes.changed), "rows": rows})
    if changes.skipped:
        await session.insert_rows(_INSERT_SKIPPED, map(vars, changes.skipped))
    if changes.due_dates:
        constant: dict[str, Any] = {"tenant": session.tenant, "body": {}}
        items = [{"ref": id, "at": at, **constant} for id, at in changes.due_dates.items()]
        await session.schedule_all("overdue", items)


_INSERT = InsertSpec(assignment, constant_columns=("tenant",))
_INSERT_SKIPPED = InsertSpec(skipped, None, ("tenant",), "ON CONFLICT DO NOTHING")
_UPDATE = """
UPDATE assignment AS a SET status = c.status, due_at = c.due_at, overdue_at = c.overdue_at, corrected = c.corrected,
    withdrawn_at = c.withdrawn_at, withdrawn_reason = c.withdrawn_reason,
    withdrawn_code = c.withdrawn_code, withdrawn_values = c.withdrawn_values, version = c.version
FROM json_to_recordset(cast(:rows AS json)) AS c(id uuid, status text, due_at timestamptz, overdue_at timestamptz,
    corrected boolean, withdrawn_at timestamptz, withdrawn_reason text, withdrawn_code text,
    withdrawn_values jsonb, version integer)
WHERE a.tenant = :tenant AND a.id = c.id AND a.id = ANY(cast(:ids AS uuid[]))
"""


async def find_assignment(session: Session, assignment_id: UUID, *, lock: bool = False) -> AssignmentRow | None:
    """The assignment of this id, or None. `lock`: the row is locked until the end of the transaction."""
    row = await session.row(
        f"{_SELECT} AND a.id = :id {'FOR UPDATE OF a' if lock else ''}",
        {"tenant": session.tenant, "id": assignment_id},
    )
    return None if row is None else AssignmentRow(**row)


async def load_by_stays(session: Session, band_event_ids: Collection[UUID]) -> list[AssignmentRow]:
    """The assignments of these stays, oldest first; their rows are locked."""
    rows = await session.rows(
        f"{_SELECT} AND a.band_event_id = ANY(cast(:ids AS uuid[])) ORDER BY a.id FOR UPDATE OF a",
        {"tenant": session.tenant, "ids": list(band_event_ids)},
    )
    return [AssignmentRow(**row) for row in rows]


async def load_by_occasions(session: Session, occasions: Collection[str]) -> list[AssignmentRow]:
    """The assignments that rules made for these occasions, oldest first; their rows are locked."""
    rows = await session.rows(
        f"{_SELECT} AND a.rule IS NOT NULL AND a.occasion = ANY(cast(:occasions AS text[])) ORDER BY a.id FOR UPDATE OF a",
        {"tenant": session.tenant, "occasions": list(occasions)},
    )
    return [AssignmentRow(**row) for row in rows]


async def update_assignment(session: Session, assignment_id: UUID, **changes: Any) -> None:
    """Sets these columns and raises the version by one."""
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
) -> list[AssignmentRow]:
    """Newest first: the assignments of people whom the caller may see on a day from assigning to closing. `after`: the
    instant and id of the last row of the page before."""
    rows = await session.rows(
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
    return [AssignmentRow(**row) for row in rows]


async def is_visible(session: Session, assignment_id: UUID, visible: VisibilityFilter) -> bool:
    """Whether the caller may see the person on a day from assigning to closing."""
    return bool(
        await session.scalar(
            "SELECT 1 FROM assignment a WHERE a.tenant = :tenant AND a.id = :id "  # noqa: S608
            f"AND {visible.filter_sql('a.agent_id', _FIRST, _LAST)}",
            {"tenant": session.tenant, "id": assignment_id, **visible.parameters},
        )
    )


class AttemptRow(NamedTuple):
    """One attempt at a quiz; `number` counts from 1."""

    number: int
    at: datetime
    score_percent: int
    passed: bool


async def insert_attempt(
    session: Session,
    assignment_id: UUID,
    *,
    number: int,
    answers: dict[str, list[str]],
    score_percent: int,
    passed: bool,
) -> None:
    """Records an attempt. `answers`: chosen choices by question."""
    await session.execute(
        insert(attempt).values(
            tenant=session.tenant,
            at=session.now,
            assignment_id=assignment_id,
            number=number,
            answers=answers,
            score_percent=score_percent,
            passed=passed,
        )
    )


async def load_attempts(session: Session, assignment_id: UUID) -> list[AttemptRow]:
    """The attempts in order."""
    rows = await session.tuples(
        "SELECT number, at, score_percent, passed FROM attempt WHERE tenant = :tenant AND assignment_id = :id "
        "ORDER BY number",
        {"tenant": session.tenant, "id": assignment_id},
    )
    return [AttemptRow(*row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class SkippedPersonRow(SkippedRow):
    """A skipped training with the person's slug and name; None for a person the directory does not know."""

    agent: str | None
    name: str | None


async def load_skipped_page(
    session: Session,
    *,
    visible: VisibilityFilter,
    rule: str | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[SkippedPersonRow]:
    """Newest first: the trainings that rules skipped, of people whom the caller may see on that day. `after`: instant, occasion and
    rule of the last row of the page before."""
    rows = await session.rows(
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
    return [SkippedPersonRow(**row) for row in rows]


async def find_bands_given_for(session: Session, template: str) -> set[tuple[str, str]]:
    """(kpi, band) of the rules that assign this template and of the assignments that rules have made."""
    rows = await session.tuples(
        "SELECT body->>'kpi' AS kpi, body->>'band' AS band FROM rule "
        "WHERE tenant = :tenant AND body->>'template' = :template AND body->>'kpi' IS NOT NULL "
        "UNION SELECT kpi, band FROM assignment "
        "WHERE tenant = :tenant AND template = :template AND kpi IS NOT NULL",
        {"tenant": session.tenant, "template": template},
    )
    return {(kpi, band) for kpi, band in rows}


async def load_completions(session: Session, template: str, visible: VisibilityFilter) -> list[tuple[UUID, datetime]]:
    """(agent, instant) of each person's first completion; failed quizzes do not count."""
    rows = await session.tuples(
        "SELECT agent_id, min(completed_at) AS at FROM assignment a WHERE tenant = :tenant AND template = :template "  # noqa: S608
        f"AND status = 'completed' AND {visible.filter_sql('a.agent_id', _FIRST, _LAST)} GROUP BY agent_id",
        {"tenant": session.tenant, "template": template, **visible.parameters},
    )
    return [(agent_id, at) for agent_id, at in rows]
