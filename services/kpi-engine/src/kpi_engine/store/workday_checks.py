"""Compares the workdays of facts with those that the directory gives them now."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from servicekit import directory
from servicekit.workdays import LAST_DAY
from storage import Session

_DAY = timedelta(days=1)
# As `servicekit.workdays` computes it: of an agent's periods in time zones, the last one that has begun by its own clock.
_MISPLACED = """
WITH people AS MATERIALIZED (
    SELECT agent_id, array_agg(first ORDER BY first DESC) AS firsts, array_agg(last ORDER BY first DESC) AS lasts,
           array_agg(zone ORDER BY first DESC) AS zones
    FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[]), cast(:lasts AS date[]), cast(:zones AS text[]))
        AS s (agent_id, first, last, zone) GROUP BY agent_id),
dated AS (
    SELECT f.kind, f.id, f.leg, f.external_id, f.agent_id, f.workday, CASE
        WHEN p.agent_id IS NULL THEN (f.started_at AT TIME ZONE :zone - make_interval(mins => :start))::date
        ELSE (SELECT least(d.day, s.last) FROM unnest(p.firsts, p.lasts, p.zones) WITH ORDINALITY AS s (first, last, zone, n)
              CROSS JOIN LATERAL (SELECT (f.started_at AT TIME ZONE s.zone - make_interval(mins => :start))::date AS day) AS d
              WHERE d.day >= s.first ORDER BY s.n LIMIT 1) END AS directory_workday
    FROM fact f LEFT JOIN people p ON p.agent_id = f.agent_id
    WHERE f.tenant = :tenant AND f.kind = ANY(cast(:kinds AS text[])) AND NOT f.void)
SELECT *, count(*) OVER () AS of_all FROM dated WHERE workday <> directory_workday ORDER BY workday, kind, id, leg LIMIT :limit
"""


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
    stretches = [
        (agent_id, first, following - _DAY if following < LAST_DAY else LAST_DAY, zone)
        for agent_id, each in workdays.zone_periods.items()
        for (first, zone), following in zip(each, [*(day for day, _ in each[1:]), LAST_DAY], strict=True)
    ]
    rows = await session.tuples(
        _MISPLACED,
        {
            "tenant": session.tenant,
            "kinds": [kind for kind in kinds if kind != "submissions"],
            "zone": str(workdays.zone),
            "start": workdays.day_start_minutes,
            "agents": [agent_id for agent_id, _, _, _ in stretches],
            "firsts": [first for _, first, _, _ in stretches],
            "lasts": [last for _, _, last, _ in stretches],
            "zones": [str(zone) for _, _, _, zone in stretches],
            "limit": limit,
        },
    )
    return [MisplacedRow(*row) for row in rows]
