"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

from contracts.scores import ScoreChanged
from servicekit import Received
from storage import Session

from gamification.actions import booking, days
from gamification.model.books import Books
from gamification.model.improvement import REACH
from gamification.model.judging import Bench, Change, ruled_kpis
from gamification.store import due, ledger, rules, scores
from gamification.store.scores import Span


async def hear_scores(session: Session, events: Sequence[Received[ScoreChanged]]) -> None:
    """A day that is over is judged at once, and with it every later day whose baseline it belongs to; a running day is
    judged when it is over, so that points do not come and go with every call. History is a baseline for what comes
    later, and moves nothing by itself. The agents must have been locked."""
    running: dict[tuple[UUID, date], datetime] = {}
    changes: list[Change | None] = []
    for event in events:
        body, at = event.body, event.attributes.time
        change = None
        if body.mode != "history":
            tenant = await days.tenant(session)
            end = days.end_of_workday(tenant, body.workday)
            if at < end:
                running[body.agent_id, body.workday] = end
            else:
                day = days.today(tenant, at)
                change = Change(body.agent_id, body.workday, body.scores, at, day, event.attributes)
        changes.append(change)
    bodies = [event.body for event in events]
    bench = await _bench(session, [each for each in changes if each is not None], bodies)
    for body, change in zip(bodies, changes, strict=True):
        for kpi, score in body.scores.items():
            bench.hear(body.agent_id, kpi, body.workday, score, live=body.mode == "live")
        if change is not None:
            bench.judge(change)
    await scores.keep(session, bodies, bench.settled, edition=bench.newest)
    if running:
        await due.when_over(session, running)
    await booking.write(session, bench.books)


async def judge(session: Session, agent_id: UUID, workday: date) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its scores reach. The agent
    must have been locked."""
    kpis = await scores.kpis_of(session, agent_id, workday)
    change = Change(agent_id, workday, kpis, session.now, days.today(await days.tenant(session), session.now))
    bench = await _bench(session, [change], [])
    bench.judge(change)
    await scores.keep(session, [], bench.settled, edition=bench.newest)
    await booking.write(session, bench.books)


async def _bench(session: Session, changes: Collection[Change], heard: Iterable[ScoreChanged]) -> Bench:
    """With the days and the entries that these changes may touch, and those days that are `heard`."""
    if not changes:
        return Bench((), {}, Books((), ()))
    editions = await rules.editions(session)
    ruled = ruled_kpis(editions)
    spans: dict[tuple[UUID, str], Span] = {}
    for change in changes:
        for kpi in change.kpis:
            first = change.since - REACH if kpi in ruled else change.since
            spans.setdefault((change.agent_id, kpi), Span(first, change.last, kpi in ruled)).widen(first, change.last)
    for body in heard:
        for kpi in body.scores:
            if (body.agent_id, kpi) in spans:
                spans[body.agent_id, kpi].heard.add(body.workday)
    known = await scores.days_of(session, spans)
    agents = {agent_id for agent_id, kpi in spans if kpi in ruled}
    first, last = min(each.since for each in changes), max(each.last for each in changes)
    return Bench(editions, known, await ledger.books_of_days(session, agents, first=first, last=last))
