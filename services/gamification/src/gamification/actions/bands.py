"""Points for leaving a band, and for finished training."""

from collections.abc import Sequence

from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft
from servicekit import Received
from storage import Session

from gamification.actions import booking
from gamification.actions.days import today
from gamification.model.books import Books
from gamification.model.rules import BandLeftRule, TrainingCompletedRule
from gamification.store import ledger, rules


async def hear_bands(session: Session, events: Sequence[Received[BandLeft | BandCorrected]]) -> None:
    """Points for bands that were left, and back for those that were corrected, in the order in which it is said.
    History has no consequences. The agents must have been locked."""
    known = [rule for rule in await rules.current_rules(session) if isinstance(rule, BandLeftRule)]
    heard = [(event, _rewards(known, event.body)) for event in events if event.body.mode == "live"]
    heard = [(event, rewards) for event, rewards in heard if rewards or isinstance(event.body, BandCorrected)]
    if not heard:
        return
    books = await ledger.books_of_causes(
        session,
        {event.body.agent_id for event, _ in heard},
        {str(event.body.band_event_id) for event, _ in heard},
    )
    corrections = [event.attributes.id for event, _ in heard if isinstance(event.body, BandCorrected)]
    unheard = await ledger.hear_corrections(session, corrections) if corrections else set()
    for event, rewards in heard:
        if rewards:
            await _leave(session, books, event, rewards)
        elif event.attributes.id in unheard:
            unheard.remove(event.attributes.id)
            _correct(books, event)
    await booking.write(session, books)


def _rewards(known: Sequence[BandLeftRule], body: BandLeft | BandCorrected) -> list[BandLeftRule]:
    if isinstance(body, BandCorrected):
        return []
    return [rule for rule in known if rule.rewards(body.kpi, body.band, body.rank, body.to_rank)]


async def _leave(session: Session, books: Books, event: Received[BandLeft], rewards: Sequence[BandLeftRule]) -> None:
    """A stay gives each rule's points at most once at a time. The event's id tells a second leaving, after the first
    was taken back, from the first one coming again."""
    body, cause = event.body, str(event.body.band_event_id)
    for rule in rewards:
        if not books.standing(body.agent_id, cause, rule=rule.rule):
            books.grant(
                rule,
                body.agent_id,
                cause=cause,
                occasion=str(event.attributes.id),
                points=rule.points,
                earned_on=await today(session, event.attributes.time),
                detail={
                    "kpi": body.kpi,
                    "from_band": body.band,
                    "to_band": body.to_band,
                    "at_window": body.at_window,
                },
                at=event.attributes.time,
                by=event.attributes,
            )


def _correct(books: Books, event: Received[BandCorrected]) -> None:
    """Whether the stay never was or was never left: what was given for leaving it is taken back."""
    body = event.body
    for entry in books.standing(body.agent_id, str(body.band_event_id)):
        reason = body.reason or "the band was corrected"
        books.reverse(entry, reason, at=event.attributes.time, by=event.attributes)


async def complete_trainings(session: Session, events: Sequence[Received[AssignmentCompleted]]) -> None:
    """Each assignment gives each rule's points once. The agents must have been locked."""
    known = [rule for rule in await rules.current_rules(session) if isinstance(rule, TrainingCompletedRule)]
    heard = [
        (event, rule) for event in events for rule in known if rule.rewards(event.body.template, event.body.passed)
    ]
    if not heard:
        return
    books = await ledger.books_of_causes(
        session,
        {event.body.agent_id for event, _ in heard},
        {str(event.body.assignment_id) for event, _ in heard},
    )
    for event, rule in heard:
        body = event.body
        books.grant(
            rule,
            body.agent_id,
            cause=str(body.assignment_id),
            occasion="completed",
            points=rule.points,
            earned_on=await today(session, event.attributes.time),
            detail={"template": body.template, "score_percent": body.score_percent},
            at=event.attributes.time,
            by=event.attributes,
        )
    await booking.write(session, books)
