"""Agents' scores by workday, as last heard."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.scores import ScoreChanged
from pydantic_core import to_json
from storage import Session

from gamification.model.improvement import Day


async def keep(session: Session, bodies: Iterable[ScoreChanged]) -> None:
    """The newest word on each KPI of a day. A day that was ever live stays live, also when history corrects it."""
    rows: dict[tuple[UUID, str, date], dict[str, Any]] = {}
    for body in bodies:
        for kpi, score in body.scores.items():
            place = (body.agent_id, kpi, body.workday)
            before = rows.get(place)
            rows[place] = {
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
            }
    if rows:
        await session.execute(_KEEP, {"tenant": session.tenant, "rows": to_json(list(rows.values())).decode()})


_KEEP = (
    "INSERT INTO score_day (tenant, agent_id, kpi, workday, value, numerator, denominator, sample, direction, "
    "model_version, live) SELECT :tenant, r.* FROM json_to_recordset(cast(:rows AS json)) AS r(agent_id uuid, kpi text, "
    "workday date, value numeric, numerator numeric, denominator numeric, sample integer, direction text, "
    "model_version integer, live boolean) "
    "ON CONFLICT (tenant, agent_id, kpi, workday) DO UPDATE SET value = excluded.value, numerator = excluded.numerator, "
    "denominator = excluded.denominator, sample = excluded.sample, direction = excluded.direction, "
    "model_version = excluded.model_version, live = score_day.live OR excluded.live"
)


def days_in(body: ScoreChanged) -> Iterator[tuple[str, Day]]:
    """What an event says of a workday, by KPI."""
    for kpi, score in body.scores.items():
        yield (
            kpi,
            Day(
                workday=body.workday,
                value=_decimal(score.value),
                numerator=_decimal(score.numerator),
                denominator=_decimal(score.denominator),
                sample=score.sample,
                direction=score.direction,
                model_version=score.model_version,
                live=body.mode == "live",
            ),
        )


async def kpis_of(session: Session, agent_id: UUID, workday: date) -> list[str]:
    found = await session.execute(
        "SELECT kpi FROM score_day WHERE tenant = :tenant AND agent_id = :agent AND workday = :workday ORDER BY kpi",
        {"tenant": session.tenant, "agent": agent_id, "workday": workday},
    )
    return list(found.scalars())


async def settle(session: Session, days: Iterable[tuple[UUID, str, date]], *, edition: int) -> None:
    """Fixes by which edition of the rules these days, of agent and KPI, are judged."""
    rows = [{"agent_id": agent_id, "kpi": kpi, "workday": workday} for agent_id, kpi, workday in days]
    await session.execute(
        "UPDATE score_day AS s SET edition = :edition FROM json_to_recordset(cast(:rows AS json)) "
        "AS r(agent_id uuid, kpi text, workday date) WHERE s.tenant = :tenant AND s.agent_id = r.agent_id "
        "AND s.kpi = r.kpi AND s.workday = r.workday",
        {"tenant": session.tenant, "rows": to_json(rows).decode(), "edition": edition},
    )


async def days_of(
    session: Session, spans: Mapping[tuple[UUID, str], tuple[date, date]]
) -> dict[tuple[UUID, str], dict[date, Day]]:
    """By agent and KPI, the days from the first to the last of its span; every span is in it."""
    wanted = [
        {"place": place, "agent_id": agent_id, "kpi": kpi, "first": first, "last": last}
        for place, ((agent_id, kpi), (first, last)) in enumerate(spans.items())
    ]
    found = await session.execute(
        "SELECT r.place, s.workday, s.value, s.numerator, s.denominator, s.sample, s.direction, s.model_version, s.live, "
        "s.edition FROM json_to_recordset(cast(:wanted AS json)) "
        "AS r(place integer, agent_id uuid, kpi text, first date, last date) JOIN score_day s ON s.tenant = :tenant "
        "AND s.agent_id = r.agent_id AND s.kpi = r.kpi AND s.workday BETWEEN r.first AND r.last",
        {"tenant": session.tenant, "wanted": to_json(wanted).decode()},
    )
    days: list[dict[date, Day]] = [{} for _ in spans]
    for place, workday, *rest in found.all():
        days[place][workday] = Day(workday, *rest)
    return dict(zip(spans, days, strict=True))


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
