"""Compares the workdays of facts with those that the directory gives them now."""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple
from uuid import UUID

from servicekit import directory
from servicekit.workdays import workday_in_periods_sql, workday_sql
from storage import Session

_START = "make_interval(mins => :start)"
_PERIODS = "unnest(p.firsts, p.next_firsts, p.zones) AS period (first, following, zone)"
# All facts at once: `directory.workday` would ask for an agent's periods fact by fact.
_MISPLACED = f"""
WITH people AS MATERIALIZED (
    SELECT agent_id, array_agg(first) AS firsts, array_agg(following) AS next_firsts, array_agg(zone) AS zones
    FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[]), cast(:next_firsts AS date[]), cast(:zones AS text[]))
        AS s (agent_id, first, following, zone) GROUP BY agent_id),
dated AS (
    SELECT f.kind, f.id, f.leg, f.external_id, f.agent_id, f.workday,
        CASE WHEN p.agent_id IS NULL THEN {workday_sql("f.started_at", ":zone", _START)}
        ELSE {workday_in_periods_sql("f.started_at", _PERIODS, _START)} END AS directory_workday
    FROM fact f LEFT JOIN people p ON p.agent_id = f.agent_id
    WHERE f.tenant = :tenant AND f.kind = ANY(cast(:kinds AS text[])) AND NOT f.void)
SELECT *, count(*) OVER () AS of_all FROM dated WHERE workday <> directory_workday ORDER BY workday, kind, id, leg LIMIT :limit
"""  # noqa: S608


class MisplacedRow(NamedTuple):
    """A fact on `workday` whose directory says another one. `of_all`: how many there are in all."""

    kind: str
    id: UUID
    leg: int
    external_id: str | None
    agent_id: UUID | None
    workday: date
    directory_workday: date
    of_all: int


async def find_misplaced_facts(session: Session, kinds: Collection[str], limit: int) -> list[MisplacedRow]:
    """Facts on another workday than the directory gives them. None are expected. Submissions have the workdays of their
    calls and are not checked."""
    workdays = await directory.load_workdays(session)
    periods = workdays.list_periods()
    rows = await session.tuples(
        _MISPLACED,
        {
            "tenant": session.tenant,
            "kinds": [kind for kind in kinds if kind != "submissions"],
            "zone": str(workdays.zone),
            "start": workdays.day_start_minutes,
            "agents": [agent_id for agent_id, _, _, _ in periods],
            "firsts": [first for _, first, _, _ in periods],
            "next_firsts": [following for _, _, following, _ in periods],
            "zones": [zone for _, _, _, zone in periods],
            "limit": limit,
        },
    )
    return [MisplacedRow(*row) for row in rows]
