"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from contracts.scores import ScoreChanged
from servicekit import Received
from storage import Session

from gamification.actions import booking
from gamification.actions.days import end_of_workday, today
from gamification.model.improvement import REACH
from gamification.model.judging import Bench, Change, ruled_kpis
from gamification.store import due, ledger, rules, scores


async def hear_scores(session: Session, events: Sequence[Received[ScoreChanged]]) -> None:
    """A day that is over is judged at once, and with it every later day whose baseline it belongs to; a running day is
    judged when it is over, so that points do not come and go with every call. History is a baseline for what comes
    later, and moves nothing by itself. The agents must have been locked."""
    ends: dict[date, datetime] = {}
    running: dict[tuple[UUID, date], datetime] = {}
    changes: list[Change | None] = []
    for event in events:
        body, at = event.body, event.attributes.time
        change = None
        if body.mode != "history":
            if body.workday not in ends:
                ends[body.workday] = await end_of_workday(session, body.workday)
            if at < ends[body.workday]:
                running[body.agent_id, body.workday] = ends[body.workday]
            else:
                day = await today(session, at)
                change = Change(body.agent_id, body.workday, body.scores, at, day, event.attributes)
        changes.append(change)
    bench = await _bench(session, [each for each in changes if each is not None])
    if bench is not None:
        for event, change in zip(events, changes, strict=True):
            for kpi, day in scores.days_in(event.body):
                bench.hear(event.body.agent_id, kpi, day)
            if change is not None:
                bench.judge(change)
    await scores.keep(session, [event.body for event in events])
    if running:
        await due.when_over(session, running)
    if bench is not None:
        await _close(session, bench)


async def judge(session: Session, agent_id: UUID, workday: date) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its scores reach. The agent
    must have been locked."""
    kpis = await scores.kpis_of(session, agent_id, workday)
    change = Change(agent_id, workday, kpis, session.now, await today(session, session.now))
    bench = await _bench(session, [change])
    if bench is not None:
        bench.judge(change)
        await _close(session, bench)


async def _bench(session: Session, changes: Collection[Change]) -> Bench | None:
    """With the days and the entries that these changes may touch. None without changes."""
    if not changes:
        return None
    editions = await rules.editions(session)
    ruled = ruled_kpis(editions)
    spans: dict[tuple[UUID, str], tuple[date, date]] = {}
    for change in changes:
        for kpi in change.kpis:
            first = change.since - REACH if kpi in ruled else change.since
            known = spans.get((change.agent_id, kpi), (first, change.last))
            spans[change.agent_id, kpi] = min(known[0], first), max(known[1], change.last)
    days = await scores.days_of(session, spans)
    agents = {agent_id for agent_id, kpi in spans if kpi in ruled}
    first, last = min(each.since for each in changes), max(each.last for each in changes)
    return Bench(editions, days, await ledger.books_of_days(session, agents, first=first, last=last))


async def _close(session: Session, bench: Bench) -> None:
    if bench.settled:
        await scores.settle(session, bench.settled, edition=bench.newest)
    await booking.write(session, bench.books)
