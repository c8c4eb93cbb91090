"""Agents' scores by workday, as last heard."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from contracts.scores import ScoreChanged
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from gamification.model.improvement import Day
from gamification.store.tables import score_day


async def keep(session: Session, body: ScoreChanged) -> None:
    """The newest word on each KPI of that day. A day that was ever live stays live, also when history corrects it."""
    rows = [
        {
            "tenant": session.tenant,
            "agent_id": body.agent_id,
            "kpi": kpi,
            "workday": body.workday,
            "value": _decimal(score.value),
            "numerator": _decimal(score.numerator),
            "denominator": _decimal(score.denominator),
            "sample": score.sample,
            "direction": score.direction,
            "model_version": score.model_version,
            "live": body.mode == "live",
        }
        for kpi, score in body.scores.items()
    ]
    if not rows:
        return
    statement = insert(score_day).values(rows)
    new = statement.excluded
    names = ("value", "numerator", "denominator", "sample", "direction", "model_version")
    changed: dict[str, Any] = {name: new[name] for name in names} | {"live": score_day.c.live | new.live}
    keys = ["tenant", "agent_id", "kpi", "workday"]
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


async def kpis_of(session: Session, agent_id: UUID, workday: date) -> list[str]:
    found = await session.execute(
        "SELECT kpi FROM score_day WHERE tenant = :tenant AND agent_id = :agent AND workday = :workday ORDER BY kpi",
        {"tenant": session.tenant, "agent": agent_id, "workday": workday},
    )
    return list(found.scalars())


async def settle_days(
    session: Session, agent_id: UUID, kpis: Sequence[str], *, first: date, last: date, edition: int
) -> None:
    """Fixes, once for each live day that is over, by which edition of the rules it is judged."""
    await session.execute(
        "UPDATE score_day SET edition = :edition WHERE tenant = :tenant AND agent_id = :agent AND kpi = ANY(:kpis) "
        "AND workday BETWEEN :first AND :last AND live AND edition IS NULL",
        {
            "tenant": session.tenant,
            "agent": agent_id,
            "kpis": list(kpis),
            "first": first,
            "last": last,
            "edition": edition,
        },
    )


async def days_of(
    session: Session, agent_id: UUID, kpi: str, *, first: date, last: date
) -> list[tuple[Day, int | None]]:
    """Days in order of time, each with the edition of the rules it is judged by."""
    rows = await session.rows(
        "SELECT workday, value, numerator, denominator, sample, direction, model_version, live, edition "
        "FROM score_day WHERE tenant = :tenant AND agent_id = :agent AND kpi = :kpi "
        "AND workday BETWEEN :first AND :last ORDER BY workday",
        {"tenant": session.tenant, "agent": agent_id, "kpi": kpi, "first": first, "last": last},
    )
    return [(_day(row), row["edition"]) for row in rows]


def _day(row: dict[str, Any]) -> Day:
    return Day(
        workday=row["workday"],
        value=_fraction(row["value"]),
        numerator=_fraction(row["numerator"]),
        denominator=_fraction(row["denominator"]),
        sample=row["sample"],
        direction=row["direction"],
        model_version=row["model_version"],
        live=row["live"],
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _fraction(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)
