"""Points for leaving a band, and for finished training."""

from uuid import UUID

from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft
from storage import Session

from gamification.actions.booking import grant, reverse
from gamification.actions.days import today
from gamification.model.rules import BandLeftRule, TrainingCompletedRule
from gamification.store import ledger, rules


async def leave_band(session: Session, event_id: UUID, body: BandLeft) -> None:
    """A stay gives each rule's points at most once at a time. `event_id` tells a second leaving, after the first was
    taken back, from the first one coming again."""
    if body.mode == "history":
        return
    cause = str(body.band_event_id)
    for rule in await rules.current_rules(session):
        if isinstance(rule, BandLeftRule) and rule.rewards(body.kpi, body.band, body.rank, body.to_rank):
            await ledger.lock_agent(session, body.agent_id)
            if not await ledger.standing(session, body.agent_id, [cause], rule=rule.rule):
                await grant(
                    session,
                    rule,
                    body.agent_id,
                    cause=cause,
                    occasion=str(event_id),
                    points=rule.points,
                    earned_on=await today(session),
                    detail={
                        "kpi": body.kpi,
                        "from_band": body.band,
                        "to_band": body.to_band,
                        "at_window": body.at_window,
                    },
                )


async def correct_band(session: Session, event_id: UUID, body: BandCorrected) -> None:
    """Whether the stay never was or was never left: what was given for leaving it is taken back. Not by history, which
    has no consequences."""
    if body.mode == "history" or not await ledger.hear_correction(session, event_id):
        return
    await ledger.lock_agent(session, body.agent_id)
    for entry in await ledger.standing(session, body.agent_id, [str(body.band_event_id)]):
        await reverse(session, entry, body.reason or "the band was corrected")


async def complete_training(session: Session, body: AssignmentCompleted) -> None:
    """Each assignment gives each rule's points once."""
    for rule in await rules.current_rules(session):
        if isinstance(rule, TrainingCompletedRule) and rule.rewards(body.template, body.passed):
            await ledger.lock_agent(session, body.agent_id)
            await grant(
                session,
                rule,
                body.agent_id,
                cause=str(body.assignment_id),
                occasion="completed",
                points=rule.points,
                earned_on=await today(session),
                detail={"template": body.template, "score_percent": body.score_percent},
            )
