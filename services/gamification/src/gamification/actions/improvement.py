"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from contracts.scores import ScoreChanged
from servicekit import ReceivedEvent
from storage import Session

from gamification.actions import agent_workdays, ledger_events
from gamification.model.evaluation import Evaluation, EvaluationRequest, find_rewarded_kpis
from gamification.model.improvement import BASELINE_REACH
from gamification.store import due_workdays, ledger, rules, scores
from gamification.store.scores import ScoreDayRange

SETTLE_DELAY = timedelta(seconds=10)


async def apply_score_events(session: Session, events: Sequence[ReceivedEvent[ScoreChanged]]) -> None:
    """A day is judged when it is over and its scores have settled, and with it every later day whose baseline it belongs
    to: points neither come and go with every call, nor with every one of the corrections that a late batch brings. History
    is a baseline for what comes later, and moves nothing by itself. The agents must have been locked."""
    wanted: dict[tuple[UUID, date], datetime] = {}
    current = [event for event in events if event.body.mode != "history"]
    if current:
        # A simulated clock may stand still, and what is over is over.
        quiet = timedelta(0) if (await agent_workdays.require_tenant(session)).simulated else SETTLE_DELAY
        workdays = await agent_workdays.load_workdays(session, {event.body.agent_id for event in current})
        for event in current:
            agent_id, workday = event.body.agent_id, event.body.workday
            over = workdays.start_of_workday(agent_id, workday + timedelta(days=1))
            wanted[agent_id, workday] = max(event.attributes.time + quiet, over)
    await scores.upsert_scores(session, [event.body for event in events], (), edition=0)
    if wanted:
        await due_workdays.schedule_evaluations(session, wanted)


async def evaluate_workday(session: Session, agent_id: UUID, workday: date) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its scores reach. The agent
    must have been locked."""
    kpis = await scores.load_kpis(session, agent_id, workday)
    today = (await agent_workdays.load_workdays(session, [agent_id])).workday_of(agent_id, session.now)
    change = EvaluationRequest(agent_id, workday, kpis, session.now, today)
    bench = await _load_evaluation(session, [change])
    bench.evaluate(change)
    await scores.upsert_scores(session, [], bench.judged_days, edition=bench.newest_edition)
    await ledger_events.write_entries(session, bench.batch)


async def _load_evaluation(session: Session, changes: Collection[EvaluationRequest]) -> Evaluation:
    """With the days and the entries that these changes may touch."""
    editions = await rules.load_editions(session)
    ruled = find_rewarded_kpis(editions)
    spans: dict[tuple[UUID, str], ScoreDayRange] = {}
    for change in changes:
        for kpi in change.kpis:
            first = change.since - BASELINE_REACH if kpi in ruled else change.since
            spans.setdefault((change.agent_id, kpi), ScoreDayRange(first, change.last, kpi in ruled)).widen(
                first, change.last
            )
    known = await scores.load_days(session, spans)
    agents = {agent_id for agent_id, kpi in spans if kpi in ruled}
    first, last = min(each.since for each in changes), max(each.last for each in changes)
    return Evaluation(editions, known, await ledger.load_batch_by_days(session, agents, first=first, last=last))
