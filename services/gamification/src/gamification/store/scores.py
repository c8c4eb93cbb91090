"""Agents' newest scores by workday."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from contracts.scores import ScoreChanged
from pydantic_core import to_json
from storage import InsertSpec, Session, encode_rows

from gamification.model.improvement import ScoreDay
from gamification.store.tables import score_day

ScoreDayKey = tuple[UUID, str, date]
"""Agent, KPI and workday."""


async def upsert_scores(
    session: Session, bodies: Iterable[ScoreChanged], settled: Collection[ScoreDayKey], *, edition: int
) -> None:
    """Stores the newest version of each score. A day that was ever live stays live, even when history corrects it.
    Assigns `edition` to the `settled` days that have none, whether or not `bodies` contains them."""
    rows: dict[ScoreDayKey, dict[str, Any]] = {}
    for body in bodies:
        for kpi, score in body.scores.items():
            key = (body.agent_id, kpi, body.workday)
            before = rows.get(key)
            if before is not None and body.version < before["version"]:
                before["live"] |= body.mode == "live"
                continue
            rows[key] = {
                "agent_id": body.agent_id,
                "kpi": kpi,
                "workday": body.workday,
                "value": score.value,
                "numerator": score.numerator,
                "denominator": score.denominator,
                "sample": score.sample,
                "direction": score.direction,
                "model_version": score.model_version,
                "live": body.mode == "live" or (before is not None and before["live"]),
                "edition": edition if key in settled else None,
                "version": body.version,
            }
    if rows:
        await session.insert_rows(_UPSERT, rows.values())
    if others := [key for key in settled if key not in rows]:
        settling = [{"agent_id": agent_id, "kpi": kpi, "workday": workday} for agent_id, kpi, workday in others]
        await session.run(_SETTLE, {"tenant": session.tenant, "edition": edition, "rows": encode_rows(settling)})


_SCORE_COLUMNS = ("value", "numerator", "denominator", "sample", "direction", "model_version", "version")
_NEWER = ", ".join(
    f"{name} = CASE WHEN score_day.version <= excluded.version THEN excluded.{name} ELSE score_day.{name} END"
    for name in _SCORE_COLUMNS
)
_UPSERT = InsertSpec(
    score_day,
    ("agent_id", "kpi", "workday", *_SCORE_COLUMNS, "live", "edition"),
    ("tenant",),
    suffix_sql=f"ON CONFLICT (tenant, agent_id, kpi, workday) DO UPDATE SET {_NEWER}, "
    "live = score_day.live OR excluded.live, edition = coalesce(excluded.edition, score_day.edition)",
)
_SETTLE = """
UPDATE score_day AS s SET edition = :edition
FROM json_to_recordset(cast(:rows AS json)) AS r(agent_id uuid, kpi text, workday date)
WHERE s.tenant = :tenant AND s.agent_id = r.agent_id AND s.kpi = r.kpi AND s.workday = r.workday
"""


async def load_kpis(session: Session, agent_id: UUID, workday: date) -> list[str]:
    """KPIs with a score of this agent on this workday, by name."""
    found = await session.execute(
        "SELECT kpi FROM score_day WHERE tenant = :tenant AND agent_id = :agent AND workday = :workday ORDER BY kpi",
        {"tenant": session.tenant, "agent": agent_id, "workday": workday},
    )
    return list(found.scalars())


@dataclass
class ScoreDayRange:
    """Days of one agent and KPI, from `first` to `last`, both included; unless `whole`, only those without an edition of
    the rules."""

    first: date
    last: date
    whole: bool

    def widen(self, first: date, last: date) -> None:
        """Extends the range to include `first` and `last`."""
        self.first, self.last = min(self.first, first), max(self.last, last)


async def load_days(
    session: Session, spans: Mapping[tuple[UUID, str], ScoreDayRange]
) -> dict[tuple[UUID, str], dict[date, ScoreDay]]:
    """Score days by agent and KPI, one mapping for each range, possibly empty."""
    ranges = [
        {"position": position, "agent_id": agent_id, "kpi": kpi, **vars(span)}
        for position, ((agent_id, kpi), span) in enumerate(spans.items())
    ]
    found = await session.tuples(_DAYS, {"tenant": session.tenant, "ranges": to_json(ranges).decode()})
    days: list[dict[date, ScoreDay]] = [{} for _ in spans]
    for position, workday, *rest in found:
        days[position][workday] = ScoreDay(workday, *rest)
    return dict(zip(spans, days, strict=True))


_DAYS = """
SELECT r.position, s.workday, s.value, s.numerator, s.denominator, s.sample, s.direction, s.model_version, s.live, s.edition
FROM json_to_recordset(cast(:ranges AS json))
    AS r(position integer, agent_id uuid, kpi text, first date, last date, whole boolean)
JOIN score_day s ON s.tenant = :tenant AND s.agent_id = r.agent_id AND s.kpi = r.kpi
    AND s.workday BETWEEN r.first AND r.last AND (r.whole OR s.edition IS NULL)
"""
