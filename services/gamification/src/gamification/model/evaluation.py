"""Evaluation of agents' workdays: reconciles the ledger with the points that the scores are worth."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from contracts import Attributes

from gamification.model.improvement import BASELINE_REACH, Award, ScoreDay, compute_awards, monday_of
from gamification.model.ledger_batch import LedgerBatch
from gamification.model.rules import Edition, ImprovementRule

_WEEK = timedelta(days=7)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class EvaluationRequest:
    """A request to evaluate an agent's KPIs from `workday` on. `at` is the time of the evaluation, `today` the agent's
    workday then, `by` the event that caused it, if any."""

    agent_id: UUID
    workday: date
    kpis: Collection[str]
    at: datetime
    today: date
    by: Attributes | None = None

    @property
    def since(self) -> date:
        """First day to evaluate: the Monday of the week, because the week's cap is spent in order of days."""
        return monday_of(self.workday)

    @property
    def last(self) -> date:
        """Last day that the score of `workday` can affect: as part of a baseline, and then by that week's cap."""
        return self.workday + BASELINE_REACH + _WEEK


def find_rewarded_kpis(editions: Iterable[Edition]) -> set[str]:
    """KPIs that any edition of an improvement rule names."""
    return {each.body.kpi for each in editions if isinstance(each.body, ImprovementRule)}


class Evaluation:
    """Evaluates requests against score days and grants that were loaded before.

    `days`: by agent and KPI, the days of every request. `batch`: the grants of these days; new entries go into it.
    `settled_days`: the days that this evaluation assigned an edition of the rules to.
    """

    def __init__(
        self, editions: Sequence[Edition], days: Mapping[tuple[UUID, str], Mapping[date, ScoreDay]], batch: LedgerBatch
    ) -> None:
        self.settled_days: dict[tuple[UUID, str, date], None] = {}
        self.batch = batch
        self._newest = editions[-1].edition if editions else 0
        self._editions = editions
        self._days = {key: dict(found) for key, found in days.items()}

    @property
    def newest_edition(self) -> int:
        """Number of the newest edition of the rules; 0 without one."""
        return self._newest

    def evaluate(self, request: EvaluationRequest) -> None:
        """Assigns the newest edition of the rules to each live day that is over and has none; then reconciles the ledger."""
        last_over = min(request.last, request.today - _ONE_DAY)
        for kpi in sorted(request.kpis):
            days = self._days.get((request.agent_id, kpi), {})
            in_reach = [each for each in sorted(days) if each <= request.last]
            first = bisect_left(in_reach, request.since)
            for workday in in_reach[first:]:
                day = days[workday]
                if workday <= last_over and day.live and day.edition is None:
                    days[workday] = replace(day, edition=self._newest)
                    self.settled_days[request.agent_id, kpi, workday] = None
            for name in _find_improvement_rules(kpi, self._editions):
                self._reconcile(request, kpi, name, [days[each] for each in in_reach], first)

    def _reconcile(self, request: EvaluationRequest, kpi: str, name: str, days: Sequence[ScoreDay], first: int) -> None:
        """For each day from index `first` on, reverses a standing grant that is wrong and grants what the day is worth."""
        rule_of = _find_rule_in_force(kpi, [each for each in self._editions if each.rule == name])
        worth = compute_awards(days, rule_of, first=first)
        for day in days[first:]:
            cause, award = f"{kpi} {day.workday}", worth.get(day.workday)
            standing = self.batch.find_standing_grants(request.agent_id, cause, rule=name)
            entry = standing[-1] if standing else None
            if (entry.points if entry else 0) == (award.points if award else 0):
                continue
            if entry is not None:
                self.batch.reverse(entry, f"{kpi} was corrected", "score_corrected", at=request.at, by=request.by)
            rule = rule_of(day)
            if award is not None and rule is not None:
                generation = 1 + self.batch.count_grants(request.agent_id, name, cause)
                self.batch.grant(
                    rule,
                    request.agent_id,
                    cause=cause,
                    occasion=str(generation),
                    points=award.points,
                    earned_on=day.workday,
                    detail=_render_detail(award),
                    at=request.at,
                    by=request.by,
                )


def compute_provisional_points(
    editions: Sequence[Edition], days: Mapping[str, Mapping[date, ScoreDay]], today: date
) -> int:
    """Points that one agent's running workday would be granted if it ended now, by the newest edition of the rules.

    `days`: by KPI, from `BASELINE_REACH` before the Monday of the week to `today`. Days of the week that are over and
    not evaluated yet count towards the week's cap as if they were. A day that already has an edition was evaluated: its
    points are in the ledger, and so add nothing here.
    """
    newest = editions[-1].edition if editions else 0
    points = 0
    for kpi, found in days.items():
        current = found.get(today)
        if current is None or current.edition is not None:
            continue
        in_reach = [
            replace(day, edition=newest)
            if day.live and day.edition is None and day.workday >= monday_of(today)
            else day
            for workday, day in sorted(found.items())
            if workday <= today
        ]
        first = bisect_left(in_reach, monday_of(today), key=lambda day: day.workday)
        for name in _find_improvement_rules(kpi, editions):
            rule_of = _find_rule_in_force(kpi, [each for each in editions if each.rule == name])
            award = compute_awards(in_reach, rule_of, first=first).get(today)
            points += award.points if award else 0
    return points


def _find_improvement_rules(kpi: str, editions: Iterable[Edition]) -> list[str]:
    """Names of the rules of which some edition rewards improvement of this KPI, sorted."""
    return sorted({each.rule for each in editions if isinstance(each.body, ImprovementRule) and each.body.kpi == kpi})


def _find_rule_in_force(kpi: str, editions: Sequence[Edition]) -> Callable[[ScoreDay], ImprovementRule | None]:
    """A function from a day to the rule in the edition assigned to that day; None for a day without an edition. So a
    later edit never changes what a past day is worth."""

    def rule_of(day: ScoreDay) -> ImprovementRule | None:
        if day.edition is None:
            return None
        then = [each.body for each in editions if each.edition <= day.edition]
        rule = then[-1] if then else None
        return rule if isinstance(rule, ImprovementRule) and rule.active and rule.kpi == kpi else None

    return rule_of


def _render_detail(award: Award) -> dict[str, str]:
    """The figures of the award, as decimals of four places."""
    figures = {"value": award.value, "baseline": award.baseline, "improvement": award.improvement}
    return {name: f"{float(value):.4f}" for name, value in figures.items()}
