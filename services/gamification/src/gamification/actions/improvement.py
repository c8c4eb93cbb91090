"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from contracts import Attributes
from contracts.scores import ScoreChanged
from servicekit import Received
from storage import Session

from gamification.actions import booking
from gamification.actions.days import end_of_workday, today
from gamification.model.books import Books
from gamification.model.improvement import REACH, Day, awards, monday_of
from gamification.model.rules import ImprovementRule
from gamification.store import due, ledger, rules, scores

_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Change:
    """What is to be judged: an agent's KPIs on a workday, at the time `at`, because of the event `by`, if of one."""

    agent_id: UUID
    workday: date
    kpis: Collection[str]
    at: datetime
    by: Attributes | None = None

    @property
    def since(self) -> date:
        return monday_of(self.workday)

    @property
    def last(self) -> date:
        return self.workday + REACH + _WEEK


async def hear_scores(session: Session, events: Sequence[Received[ScoreChanged]]) -> None:
    """A day that is over is judged at once, and with it every later day whose baseline it belongs to; a running day is
    judged when it is over, so that points do not come and go with every call. History is a baseline for what comes
    later, and moves nothing by itself. The agents must have been locked."""
    ends: dict[date, datetime] = {}
    running: dict[tuple[UUID, date], datetime] = {}
    over: dict[int, Change] = {}
    for place, event in enumerate(events):
        body = event.body
        if body.mode == "history":
            continue
        if body.workday not in ends:
            ends[body.workday] = await end_of_workday(session, body.workday)
        if event.attributes.time < ends[body.workday]:
            running[body.agent_id, body.workday] = ends[body.workday]
        else:
            change = Change(body.agent_id, body.workday, body.scores, event.attributes.time, event.attributes)
            over[place] = change
    bench = await _Bench.open(session, list(over.values())) if over else None
    if bench is not None:
        for place, event in enumerate(events):
            bench.hear(event.body)
            if place in over:
                bench.judge(over[place], await today(session, over[place].at))
    await scores.keep(session, [event.body for event in events])
    if running:
        # Asked for anew each time: the day may have been judged just now without what was just heard.
        await due.when_over(session, running)
    if bench is not None:
        await bench.close()


async def judge(session: Session, agent_id: UUID, workday: date, kpis: Collection[str]) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its score reaches. The agent
    must have been locked."""
    change = Change(agent_id, workday, kpis, session.now)
    bench = await _Bench.open(session, [change])
    bench.judge(change, await today(session, session.now))
    await bench.close()


class _Bench:
    """The days and the books of the agents that are to be judged, as they are after each change."""

    def __init__(
        self, session: Session, editions: Sequence[rules.Edition], days: dict[tuple[UUID, str], dict[date, Day]],
        books: Books,
    ) -> None:  # fmt: skip
        self._session = session
        self._newest = editions[-1].edition if editions else 0
        self._editions: dict[str, list[rules.Edition]] = {}
        for each in editions:
            self._editions.setdefault(each.rule, []).append(each)
        self._days = days
        self._books = books
        self._settled: list[tuple[UUID, str, date]] = []
