"""Improvement on the own baseline: which points an agent's days are worth, from the scores as they now are.

A pure function of the days, so that the outcome is the same in whatever order they came or were corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from gamification.model.rules import ImprovementRule

BASELINE_REACH = timedelta(days=120)
"""Older days are no baseline: that was another habit. It also bounds what one correction can move."""


@dataclass(frozen=True)
class ScoreDay:
    """One KPI of one agent on one workday. `live`: it may give points; what came as history only is a baseline.
    `edition`: of the rules, by which it is judged; None: it has not been judged."""

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
        """Numerator and denominator, where the value is a ratio."""
        if self.numerator is None or self.denominator is None:
            return None
        return _rational(self.numerator), _rational(self.denominator)

    @cached_property
    def exact(self) -> Fraction | None:
        """The value before it was rounded, where its parts are known."""
        if self.value is None:
            return None
        if self.parts and self.parts[1]:
            return Fraction(self.parts[0]) / self.parts[1]
        return Fraction(self.value)


def _rational(number: Decimal) -> int | Fraction:
    """Most parts are whole, and whole numbers add up many times faster."""
    whole = int(number)
    return whole if whole == number else Fraction(number)


@dataclass(frozen=True)
class Award:
    points: int
    value: Fraction
    baseline: Fraction
    improvement: Fraction


def compute_awards(
    days: Sequence[ScoreDay], rule_of: Callable[[ScoreDay], ImprovementRule | None], *, first: int
) -> Mapping[date, Award]:
    """What each workday from the place `first` on is worth, which begins a week. `days` in order of time and from REACH
    before it; `rule_of` the rule as it was in force for a day, None when none was."""
    given: dict[date, Award] = {}
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
            given[day.workday] = Award(points, award.value, award.baseline, award.improvement)
            by_week[week] = by_week.get(week, 0) + points
    return given


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
    """From the days before the place `index`: the ratio of sums, or the mean where the KPI is no ratio. Days under another
    model are not comparable."""
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
    return day - timedelta(days=day.weekday())
