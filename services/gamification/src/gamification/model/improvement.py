"""Improvement on the own baseline: which points an agent's days are worth, from the scores as they now are.

A pure function of the days, so that the outcome is the same in whatever order they came or were corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from gamification.model.rules import ImprovementRule

REACH = timedelta(days=120)
"""Older days are no baseline: that was another habit. It also bounds what one correction can move."""


@dataclass(frozen=True)
class Day:
    """One KPI of one agent on one workday. `live`: it may give points; what came as history only is a baseline."""

    workday: date
    value: Fraction | None
    numerator: Fraction | None
    denominator: Fraction | None
    sample: int
    direction: str
    model_version: int
    live: bool

    @property
    def exact(self) -> Fraction | None:
        """The value before it was rounded, where its parts are known."""
        if self.value is not None and self.numerator is not None and self.denominator:
            return self.numerator / self.denominator
        return self.value


@dataclass(frozen=True)
class Award:
    points: int
    value: Fraction
    baseline: Fraction
    improvement: Fraction


def awards(
    days: Sequence[Day], rule_of: Callable[[Day], ImprovementRule | None], *, since: date
) -> Mapping[date, Award]:
    """What each workday from `since`, a Monday, on is worth. `days` in order of time and from REACH before `since`;
    `rule_of` the rule as it was in force for a day, None when none was."""
    given: dict[date, Award] = {}
    by_week: dict[tuple[int, int], int] = {}
    for index, day in enumerate(days):
        rule = rule_of(day) if day.live and day.workday >= since else None
        award = _award(rule, day, days[:index]) if rule is not None else None
        if rule is None or award is None:
            continue
        week = day.workday.isocalendar()[:2]
        left = award.points if rule.week_cap is None else rule.week_cap - by_week.get(week, 0)
        points = min(award.points, left)
        if points > 0:
            given[day.workday] = Award(points, award.value, award.baseline, award.improvement)
            by_week[week] = by_week.get(week, 0) + points
    return given


def _award(rule: ImprovementRule, day: Day, before: Sequence[Day]) -> Award | None:
    value = day.exact
    if value is None or day.sample < rule.min_sample:
        return None
    baseline = _baseline(rule, day, before)
    if baseline is None or day.direction not in ("lower_is_better", "higher_is_better"):
        return None
    improvement = baseline - value if day.direction == "lower_is_better" else value - baseline
    if rule.measure == "percent":
        if baseline == 0:
            return None
        improvement = 100 * improvement / abs(baseline)
    if improvement < Fraction(rule.min_improvement):
        return None
    steps = 1 if rule.step is None else int(improvement / Fraction(rule.step))
    return Award(rule.points * steps, value, baseline, improvement)


def _baseline(rule: ImprovementRule, day: Day, before: Sequence[Day]) -> Fraction | None:
    """The ratio of sums, or the mean where the KPI is no ratio. Days under another model are not comparable."""
    fitting = [
        each
        for each in before
        if each.value is not None
        and each.sample >= rule.min_sample
        and each.model_version == day.model_version
        and each.workday >= day.workday - REACH
    ][-rule.baseline_days :]
    if len(fitting) < rule.baseline_days:
        return None
    pairs = [(each.numerator, each.denominator) for each in fitting]
    numerators = [numerator for numerator, _ in pairs if numerator is not None]
    denominators = [denominator for _, denominator in pairs if denominator is not None]
    if len(numerators) == len(denominators) == len(fitting) and sum(denominators):
        return Fraction(sum(numerators)) / Fraction(sum(denominators))
    return Fraction(sum(each.value for each in fitting if each.value is not None)) / len(fitting)


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def day_of(at: datetime, time_zone: str, day_start_minutes: int) -> date:
    """The workday an instant belongs to."""
    return (at.astimezone(ZoneInfo(time_zone)) - timedelta(minutes=day_start_minutes)).date()


def end_of(workday: date, time_zone: str, day_start_minutes: int) -> datetime:
    """When a workday is over."""
    start = time(day_start_minutes // 60, day_start_minutes % 60, tzinfo=ZoneInfo(time_zone))
    return datetime.combine(workday + timedelta(days=1), start).astimezone(UTC)
