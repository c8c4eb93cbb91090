"""Points for improvement, derived again from the scores as they now are whenever one of them changes."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from uuid import UUID

from contracts.scores import ScoreChanged
from storage import Session

from gamification.actions.booking import grant, reverse
from gamification.actions.days import end_of_workday, today
from gamification.model.improvement import REACH, Award, Day, awards, monday_of
from gamification.model.rules import ImprovementRule
from gamification.store import ledger, rules, scores

_WEEK = timedelta(days=7)


async def hear_score(session: Session, body: ScoreChanged) -> None:
    """A day that is over is judged at once, and with it every later day whose baseline it belongs to; a running day is
    judged when it is over, so that points do not come and go with every call. History is a baseline for what comes
    later, and moves nothing by itself."""
    await scores.keep(session, body)
    if body.mode == "history":
        return
    over_at = await end_of_workday(session, body.workday)
    if session.now < over_at:
        ref = f"{body.agent_id} {body.workday}"
        # Asked for anew each time: the day may be judged in this very moment without what was just heard.
        await session.schedule(
            "workday-over",
            ref,
            over_at,
            {"agent_id": str(body.agent_id), "workday": body.workday.isoformat()},
            turn=body.key(session.tenant),
        )
        return
    await judge(session, body.agent_id, body.workday, sorted(body.scores))


async def judge(session: Session, agent_id: UUID, workday: date, kpis: Sequence[str]) -> None:
    """Brings the ledger to what the scores say, from the week of `workday` on as far as its score reaches."""
    await ledger.lock_agent(session, agent_id)
    editions = await rules.editions(session)
    newest = editions[-1].edition if editions else 0
    since, last = monday_of(workday), workday + REACH + _WEEK
    over = await today(session) - timedelta(days=1)
    await scores.settle_days(session, agent_id, kpis, first=since, last=min(last, over), edition=newest)
    for kpi in kpis:
        names = {each.rule for each in editions if isinstance(each.body, ImprovementRule) and each.body.kpi == kpi}
        days = await scores.days_of(session, agent_id, kpi, first=since - REACH, last=last) if names else []
        for name in sorted(names):
            in_force = _in_force(days, kpi, [each for each in editions if each.rule == name])
            worth = awards([day for day, _ in days], lambda day, of=in_force: of.get(day.workday), since=since)
            workdays = [day.workday for day, _ in days if day.workday >= since]
            await _reconcile(session, agent_id, name, kpi, workdays, worth, in_force)


def _in_force(
    days: Sequence[tuple[Day, int | None]], kpi: str, editions: Sequence[rules.Edition]
) -> dict[date, ImprovementRule]:
    """The rule as it was when each day was first judged; none for days that have not been. A later edit never changes
    what a past day is worth."""
    found: dict[date, ImprovementRule] = {}
    for day, settled in days:
        then = [each.body for each in editions if settled is not None and each.edition <= settled]
        rule = then[-1] if then else None
        if isinstance(rule, ImprovementRule) and rule.active and rule.kpi == kpi:
            found[day.workday] = rule
    return found


async def _reconcile(
    session: Session,
    agent_id: UUID,
    name: str,
    kpi: str,
    workdays: Sequence[date],
    worth: Mapping[date, Award],
    in_force: Mapping[date, ImprovementRule],
) -> None:
    """Reverses what is no longer right and grants what is, day by day, so that the net is what the days are worth."""
    causes = {f"{kpi} {workday}": workday for workday in workdays}
    standing = {entry["cause"]: entry for entry in await ledger.standing(session, agent_id, causes, rule=name)}
    for cause, workday in causes.items():
        entry, award = standing.get(cause), worth.get(workday)
        if (entry["points"] if entry else 0) == (award.points if award else 0):
            continue
        if entry is not None:
            await reverse(session, entry, f"{kpi} was corrected")
        if award is not None:
            generation = 1 + await ledger.times_granted(session, agent_id, name, cause)
            detail = {"value": award.value, "baseline": award.baseline, "improvement": award.improvement}
            await grant(
                session,
                in_force[workday],
                agent_id,
                cause=cause,
                occasion=str(generation),
                points=award.points,
                earned_on=workday,
                detail={key: _shown(value) for key, value in detail.items()},
            )


def _shown(value: Fraction) -> str:
    """As a decimal of four places."""
    return f"{float(value):.4f}"
