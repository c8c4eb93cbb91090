"""The judgement of agents' days: what the ledger says is brought to what the scores say."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from contracts import Attributes

from gamification.model.improvement import BASELINE_REACH, Award, ScoreDay, compute_awards, monday_of
from gamification.model.ledger_batch import LedgerBatch
from gamification.model.rules import Edition, ImprovementRule

_WEEK = timedelta(days=7)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class EvaluationRequest:
    """An agent's KPIs that are to be judged from a workday on, at the time `at`: on the agent's day `today`, and
    because of the event `by`, if of one."""

    agent_id: UUID
    workday: date
    kpis: Collection[str]
    at: datetime
    today: date
    by: Attributes | None = None

    @property
    def since(self) -> date:
        return monday_of(self.workday)

    @property
    def last(self) -> date:
        """As far as the score of `workday` reaches: as a baseline, and then by the cap of the week."""
        return self.workday + BASELINE_REACH + _WEEK


def find_rewarded_kpis(editions: Iterable[Edition]) -> set[str]:
    """KPIs that improvement was ever rewarded on."""
    return {each.body.kpi for each in editions if isinstance(each.body, ImprovementRule)}


class Evaluation:
    """`days`: by agent and KPI, those of every change to come; `settled`: those of them that were given the edition they
    are judged by; `books`: what the ledger says of them."""

    def __init__(
        self, editions: Sequence[Edition], days: Mapping[tuple[UUID, str], Mapping[date, ScoreDay]], books: LedgerBatch
    ) -> None:
        self.judged_days: dict[tuple[UUID, str, date], None] = {}
        self.batch = books
        self._newest = editions[-1].edition if editions else 0
        self._editions = editions
        self._days = {place: dict(found) for place, found in days.items()}

    @property
    def newest_edition(self) -> int:
        return self._newest

    def evaluate(self, change: EvaluationRequest) -> None:
        """Fixes, once for each live day that is over, by which edition of the rules it is judged; and judges."""
        since, last = change.since, change.last
        over = min(last, change.today - _ONE_DAY)
        for kpi in sorted(change.kpis):
            days = self._days.get((change.agent_id, kpi), {})
            in_reach = [each for each in sorted(days) if each <= last]
            first = bisect_left(in_reach, since)
            for workday in in_reach[first:]:
                day = days[workday]
                if workday <= over and day.live and day.edition is None:
                    days[workday] = replace(day, edition=self._newest)
                    self.judged_days[change.agent_id, kpi, workday] = None
            names = {
                each.rule for each in self._editions if isinstance(each.body, ImprovementRule) and each.body.kpi == kpi
            }
            for name in sorted(names):
                self._reconcile(change, kpi, name, [days[each] for each in in_reach], first)

    def _reconcile(self, change: EvaluationRequest, kpi: str, name: str, days: Sequence[ScoreDay], first: int) -> None:
        """Reverses what is no longer right and grants what is, day by day from the place `first` on, so that the net is
        what the days are worth."""
        rule_of = _find_rule_in_force(kpi, [each for each in self._editions if each.rule == name])
        worth = compute_awards(days, rule_of, first=first)
        for day in days[first:]:
            cause, award = f"{kpi} {day.workday}", worth.get(day.workday)
            standing = self.batch.find_standing_grants(change.agent_id, cause, rule=name)
            entry = standing[-1] if standing else None
            if (entry.points if entry else 0) == (award.points if award else 0):
                continue
            if entry is not None:
                self.batch.reverse(entry, f"{kpi} was corrected", "score_corrected", at=change.at, by=change.by)
            rule = rule_of(day)
            if award is not None and rule is not None:
                generation = 1 + self.batch.count_grants(change.agent_id, name, cause)
                self.batch.grant(
                    rule,
                    change.agent_id,
                    cause=cause,
                    occasion=str(generation),
                    points=award.points,
                    earned_on=day.workday,
                    detail=_detail(award),
                    at=change.at,
                    by=change.by,
                )


def _find_rule_in_force(kpi: str, editions: Sequence[Edition]) -> Callable[[ScoreDay], ImprovementRule | None]:
    """The rule as it was when a day was first judged; none for days that have not been. A later edit never changes what
    a past day is worth."""

    def rule_of(day: ScoreDay) -> ImprovementRule | None:
        if day.edition is None:
            return None
        then = [each.body for each in editions if each.edition <= day.edition]
        rule = then[-1] if then else None
        return rule if isinstance(rule, ImprovementRule) and rule.active and rule.kpi == kpi else None

    return rule_of


def _detail(award: Award) -> dict[str, str]:
    shown = {"value": award.value, "baseline": award.baseline, "improvement": award.improvement}
    return {name: _shown(value) for name, value in shown.items()}


def _shown(value: Fraction) -> str:
    """As a decimal of four places."""
    return f"{float(value):.4f}"
