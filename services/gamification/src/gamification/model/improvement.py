"""Improvement on an agent's own baseline: the points that workdays are worth, from the current scores.

A pure function of the days: the result does not depend on the order in which scores arrived or were corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from gamification.model.rules import ImprovementRule

BASELINE_REACH = timedelta(days=120)
"""Days older than this do not count as baseline. It also bounds how many days one correction can affect."""


@dataclass(frozen=True)
class ScoreDay:
    """One KPI of one agent on one workday. `value` is in the KPI's unit, `sample` a count of facts. `live`: the day may
    earn points; a day known from history only serves as baseline. `edition`: the edition of the rules that applies to
    the day; None: it has not been evaluated."""

    workday: date
    value: Decimal | None
    numerator: Decimal | None
    denominator: Decimal | None
    sample: int
    direction: str
    model_version: int
    live: bool
    edition: int | None = None

    @cached_property
    def parts(self) -> tuple[int | Fraction, int | Fraction] | None:
        """Numerator and denominator; None where the value is no ratio."""
        if self.numerator is None or self.denominator is None:
            return None
        return _rational(self.numerator), _rational(self.denominator)

    @cached_property
    def exact(self) -> Fraction | None:
        """The value; unrounded where its parts are known. None: unknown."""
        if self.value is None:
            return None
        if self.parts and self.parts[1]:
            return Fraction(self.parts[0]) / self.parts[1]
        return Fraction(self.value)


def _rational(number: Decimal) -> int | Fraction:
    """The same number as an int where it is one: most are, and ints add many times faster than fractions."""
    whole = int(number)
    return whole if whole == number else Fraction(number)


@dataclass(frozen=True)
class Award:
    """Points for one workday, with the day's value, its baseline and the improvement, in percent or the KPI's unit."""

    points: int
    value: Fraction
    baseline: Fraction
    improvement: Fraction


def compute_awards(
    days: Sequence[ScoreDay], rule_of: Callable[[ScoreDay], ImprovementRule | None], *, first: int
) -> Mapping[date, Award]:
    """Awards by workday, for the days from index `first` on; a day without points is absent. `days`: in order of time,
    from `BASELINE_REACH` before the day at `first`, which must be the first of its week. `rule_of`: the rule in force
    on a day, or None."""
    awards: dict[date, Award] = {}
    by_week: dict[tuple[int, int], int] = {}
    for index in range(first, len(days)):
        day = days[index]
        rule = rule_of(day) if day.live else None
        award = _compute_award(rule, day, days, index) if rule is not None else None
        if rule is None or award is None:
            continue
        week = day.workday.isocalendar()[:2]
        left = award.points if rule.week_cap is None else rule.week_cap - by_week.get(week, 0)
        points = min(award.points, left)
        if points > 0:
            awards[day.workday] = Award(points, award.value, award.baseline, award.improvement)
            by_week[week] = by_week.get(week, 0) + points
    return awards


def _compute_award(rule: ImprovementRule, day: ScoreDay, days: Sequence[ScoreDay], index: int) -> Award | None:
    value = day.exact
    if value is None or day.sample < rule.min_sample:
        return None
    baseline = _compute_baseline(rule, day, days, index)
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


def _compute_baseline(rule: ImprovementRule, day: ScoreDay, days: Sequence[ScoreDay], index: int) -> Fraction | None:
    """The baseline from the days before `index`: the ratio of sums, or the mean where the KPI is no ratio. None with too
    few days. Days under another version of the KPI model are not comparable and do not count."""
    fitting: list[ScoreDay] = []
    oldest = day.workday - BASELINE_REACH
    while len(fitting) < rule.baseline_days and index > 0 and days[index - 1].workday >= oldest:
        index -= 1
        each = days[index]
        if each.value is not None and each.sample >= rule.min_sample and each.model_version == day.model_version:
            fitting.append(each)
    if len(fitting) < rule.baseline_days:
        return None
    parts = [each.parts for each in fitting if each.parts is not None]
    if len(parts) == len(fitting) and (denominator := sum(part[1] for part in parts)):
        return Fraction(sum(part[0] for part in parts)) / denominator
    return Fraction(sum(Fraction(each.value) for each in fitting if each.value is not None)) / len(fitting)


def monday_of(day: date) -> date:
    """First day of the ISO week of `day`."""
    return day - timedelta(days=day.weekday())
