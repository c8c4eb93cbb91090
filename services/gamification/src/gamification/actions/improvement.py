"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from contracts.scores import ScoreChanged
from servicekit import Received
from storage import Session

from gamification.actions import booking, days
from gamification.model.improvement import REACH
from gamification.model.judging import Bench, Change, ruled_kpis
from gamification.store import due, ledger, rules, scores
from gamification.store.scores import Span

QUIET = timedelta(seconds=10)


async def hear_scores(session: Session, events: Sequence[Received[ScoreChanged]]) -> None:
    """A day is judged when it is over and its scores have settled, and with it every later day whose baseline it belongs
    to: points neither come and go with every call, nor with every one of the corrections that a late batch brings. History
    is a baseline for what comes later, and moves nothing by itself. The agents must have been locked."""
    wanted: dict[tuple[UUID, date], datetime] = {}
    current = [event for event in events if event.body.mode != "history"]
    if current:
        # A simulated clock may stand still, and what is over is over.
        quiet = timedelta(0) if (await days.tenant(session)).simulated else QUIET
        workdays = await days.of_agents(session, {event.body.agent_id for event in current})
        for event in current:
            agent_id, workday = event.body.agent_id, event.body.workday
            over = workdays.begins(agent_id, workday + timedelta(days=1))
            wanted[agent_id, workday] = max(event.attributes.time + quiet, over)
    await scores.keep(session, [event.body for event in events], (), edition=0)
    if wanted:
        await due.when_settled(session, wanted)


async def judge(session: Session, agent_id: UUID, workday: date) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its scores reach. The agent
    must have been locked."""
    kpis = await scores.kpis_of(session, agent_id, workday)
    today = (await days.of_agents(session, [agent_id])).of(agent_id, session.now)
    change = Change(agent_id, workday, kpis, session.now, today)
    bench = await _bench(session, [change])
    bench.judge(change)
    await scores.keep(session, [], bench.settled, edition=bench.newest)
    await booking.write(session, bench.books)


async def _bench(session: Session, changes: Collection[Change]) -> Bench:
    """With the days and the entries that these changes may touch."""
    editions = await rules.editions(session)
    ruled = ruled_kpis(editions)
    spans: dict[tuple[UUID, str], Span] = {}
    for change in changes:
        for kpi in change.kpis:
            first = change.since - REACH if kpi in ruled else change.since
            spans.setdefault((change.agent_id, kpi), Span(first, change.last, kpi in ruled)).widen(first, change.last)
    known = await scores.days_of(session, spans)
    agents = {agent_id for agent_id, kpi in spans if kpi in ruled}
    first, last = min(each.since for each in changes), max(each.last for each in changes)
    return Bench(editions, known, await ledger.books_of_days(session, agents, first=first, last=last))
