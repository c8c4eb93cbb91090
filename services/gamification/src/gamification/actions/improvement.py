"""Points for improvement: settled days are evaluated anew whenever one of their scores changes (ADR 25)."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from contracts.scores import ScoreChanged
from servicekit import ReceivedEvent
from storage import Session

from gamification.actions import agent_workdays, ledger_events
from gamification.model.evaluation import (
    Evaluation,
    EvaluationRequest,
    compute_provisional_points,
    find_rewarded_kpis,
)
from gamification.model.improvement import BASELINE_REACH, monday_of
from gamification.store import due_workdays, ledger, rules, scores
from gamification.store.scores import ScoreDayRange

SETTLE_DELAY = timedelta(seconds=10)
"""A day that is over is evaluated when its scores have not changed for this long."""


async def apply_score_events(session: Session, events: Sequence[ReceivedEvent[ScoreChanged]]) -> None:
    """Stores the scores, and schedules an evaluation for when the day is over and its scores have settled. It covers
    every later day whose baseline contains the day. So points do not come and go with every call, nor with every
    correction of a late batch. History serves as baseline and schedules nothing. The agents must be locked."""
    due: dict[tuple[UUID, date], datetime] = {}
    current = [event for event in events if event.body.mode != "history"]
    if current:
        # A simulated clock may stand still: then nothing would ever settle.
        settle_delay = timedelta(0) if (await agent_workdays.require_tenant(session)).simulated else SETTLE_DELAY
        workdays = await agent_workdays.load_workdays(session, {event.body.agent_id for event in current})
        for event in current:
            agent_id, workday = event.body.agent_id, event.body.workday
            over = workdays.start_of_workday(agent_id, workday + timedelta(days=1))
            due[agent_id, workday] = max(event.attributes.time + settle_delay, over)
    await scores.upsert_scores(session, [event.body for event in events], (), edition=0)
    if due:
        await due_workdays.schedule_evaluations(session, due)


async def evaluate_workday(session: Session, agent_id: UUID, workday: date) -> None:
    """Reconciles the ledger with the scores, from the week of `workday` to the last day that its scores can affect. The
    agent must be locked."""
    kpis = await scores.load_kpis(session, agent_id, workday)
    today = (await agent_workdays.load_workdays(session, [agent_id])).workday_of(agent_id, session.now)
    request = EvaluationRequest(agent_id, workday, kpis, session.now, today)
    evaluation = await _load_evaluation(session, [request])
    evaluation.evaluate(request)
    await scores.upsert_scores(session, [], evaluation.settled_days, edition=evaluation.newest_edition)
    await ledger_events.write_entries(session, evaluation.batch)


async def load_provisional_points(session: Session, agent_id: UUID, today: date) -> int:
    """Points that the agent's running workday would be granted if it ended now. Reads only: at most `BASELINE_REACH` and
    a week of score days for each KPI with an improvement rule."""
    editions = await rules.load_editions(session)
    first = monday_of(today) - BASELINE_REACH
    spans = {(agent_id, kpi): ScoreDayRange(first, today, True) for kpi in find_rewarded_kpis(editions)}
    days = await scores.load_days(session, spans) if spans else {}
    return compute_provisional_points(editions, {kpi: found for (_, kpi), found in days.items()}, today)


async def _load_evaluation(session: Session, requests: Collection[EvaluationRequest]) -> Evaluation:
    """An evaluation with the score days and the grants that these requests may touch."""
    editions = await rules.load_editions(session)
    rewarded = find_rewarded_kpis(editions)
    spans: dict[tuple[UUID, str], ScoreDayRange] = {}
    for each in requests:
        for kpi in each.kpis:
            first = each.since - BASELINE_REACH if kpi in rewarded else each.since
            span = spans.setdefault((each.agent_id, kpi), ScoreDayRange(first, each.last, kpi in rewarded))
            span.widen(first, each.last)
    days = await scores.load_days(session, spans)
    agents = {agent_id for agent_id, kpi in spans if kpi in rewarded}
    first, last = min(each.since for each in requests), max(each.last for each in requests)
    return Evaluation(editions, days, await ledger.load_batch_by_days(session, agents, first=first, last=last))
