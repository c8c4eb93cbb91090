"""Whether facts lie on the workdays that the directory gives them now."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from servicekit import directory
from servicekit.workdays import LAST_DAY
from storage import Session

_DAY = timedelta(days=1)
# As `servicekit.workdays` says it: of the stretches in zones the last one that has begun by its own clock decides.
_MISPLACED = """
WITH people AS MATERIALIZED (
    SELECT agent_id, array_agg(first ORDER BY first DESC) AS firsts, array_agg(last ORDER BY first DESC) AS lasts,
           array_agg(zone ORDER BY first DESC) AS zones
    FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[]), cast(:lasts AS date[]), cast(:zones AS text[]))
        AS s (agent_id, first, last, zone) GROUP BY agent_id),
judged AS (
    SELECT f.kind, f.id, f.leg, f.external_id, f.agent_id, f.workday, CASE
        WHEN p.agent_id IS NULL THEN (f.started_at AT TIME ZONE :zone - make_interval(mins => :start))::date
        ELSE (SELECT least(d.day, s.last) FROM unnest(p.firsts, p.lasts, p.zones) WITH ORDINALITY AS s (first, last, zone, n)
              CROSS JOIN LATERAL (SELECT (f.started_at AT TIME ZONE s.zone - make_interval(mins => :start))::date AS day) AS d
              WHERE d.day >= s.first ORDER BY s.n LIMIT 1) END AS directory_workday
    FROM fact f LEFT JOIN people p ON p.agent_id = f.agent_id
    WHERE f.tenant = :tenant AND f.kind = ANY(cast(:kinds AS text[])) AND NOT f.void)
SELECT *, count(*) OVER () AS of_all FROM judged WHERE workday <> directory_workday ORDER BY workday, kind, id, leg LIMIT :limit
"""


async def find_misplaced_facts(session: Session, kinds: Collection[str], limit: int) -> list[dict[str, Any]]:
    """Facts on another workday than the directory's; `of_all` says how many there are. None are expected: whoever records
    a fact follows the directory. A submission's day is its call's."""
    workdays = await directory.load_workdays(session)
    stretches = [
        (agent_id, first, following - _DAY if following < LAST_DAY else LAST_DAY, zone)
        for agent_id, each in workdays.zone_periods.items()
        for (first, zone), following in zip(each, [*(day for day, _ in each[1:]), LAST_DAY], strict=True)
    ]
    return await session.rows(
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
