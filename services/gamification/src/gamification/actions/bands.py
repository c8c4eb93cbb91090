"""Points for leaving a band, and for finished training."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from contracts import Attributes
from contracts.assignments import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft
from servicekit import ReceivedEvent
from storage import Session

from gamification.actions import agent_workdays, ledger_events
from gamification.model.ledger_batch import LedgerBatch
from gamification.model.rules import BandLeftRule, TrainingCompletedRule
from gamification.store import ledger, rules


async def apply_band_events(session: Session, events: Sequence[ReceivedEvent[BandLeft | BandCorrected]]) -> None:
    """Points for bands that were left, and back for those that were corrected, in the order in which it is said;
    what is older than what was heard of the stay has no effect. History has no consequences. The agents must have been locked."""
    known = [rule for rule in await rules.load_current_rules(session) if isinstance(rule, BandLeftRule)]
    heard = [(event.body, event.attributes, _find_rewarding_rules(known, event.body)) for event in events]
    heard = [each for each in heard if each[0].mode == "live" and (each[2] or isinstance(each[0], BandCorrected))]
    if not heard:
        return
    books = await ledger.load_batch_by_causes(
        session, {body.agent_id for body, _, _ in heard}, {str(body.band_event_id) for body, _, _ in heard}
    )
    workdays = await agent_workdays.load_workdays(session, {body.agent_id for body, _, _ in heard})
    corrections = [attributes.id for body, attributes, _ in heard if isinstance(body, BandCorrected)]
    unheard = await ledger.insert_corrections(session, corrections) if corrections else set[UUID]()
    known_stays = await ledger.load_stay_versions(session, {body.band_event_id for body, _, _ in heard if body.version})
    newer: dict[UUID, int] = {}
    for body, attributes, rewards in heard:
        newest = newer.get(body.band_event_id, known_stays.get(body.band_event_id, 0))
        if 0 < body.version < newest:
            continue
        if body.version > newest:
            newer[body.band_event_id] = body.version
        if isinstance(body, BandLeft):
            _grant_for_leaving(books, body, attributes, rewards, workdays.workday_of(body.agent_id, attributes.time))
        elif attributes.id in unheard:
            unheard.remove(attributes.id)
            _reverse_for_correction(books, body, attributes)
    if newer:
        await ledger.upsert_stay_versions(session, newer)
    await ledger_events.write_entries(session, books)


def _find_rewarding_rules(known: Sequence[BandLeftRule], body: BandLeft | BandCorrected) -> list[BandLeftRule]:
    if isinstance(body, BandCorrected):
        return []
    return [rule for rule in known if rule.rewards(body.kpi, body.band, body.rank, body.to_rank)]


def _grant_for_leaving(
    books: LedgerBatch, body: BandLeft, attributes: Attributes, rewards: Sequence[BandLeftRule], today: date
) -> None:
    """A stay gives each rule's points at most once at a time. The event's id tells a second leaving, after the first
    was taken back, from the first one coming again."""
    cause = str(body.band_event_id)
    for rule in rewards:
        if not books.find_standing_grants(body.agent_id, cause, rule=rule.rule):
            books.grant(
                rule,
                body.agent_id,
                cause=cause,
                occasion=str(attributes.id),
                points=rule.points,
                earned_on=today,
                detail={
                    "kpi": body.kpi,
                    "kpi_title": body.kpi_title,
                    "from_band": body.band,
                    "from_band_title": body.band_title,
                    "to_band": body.to_band,
                    "to_band_title": body.to_band_title,
                    "at_window": body.at_window,
                },
                at=attributes.time,
                by=attributes,
            )


def _reverse_for_correction(books: LedgerBatch, body: BandCorrected, attributes: Attributes) -> None:
    """Whether the stay never was or was never left: what was given for leaving it is taken back."""
    for entry in books.find_standing_grants(body.agent_id, str(body.band_event_id)):
        books.reverse(
            entry,
            body.reason or "the band was corrected",
            body.reason_code or "band_corrected",
            body.reason_values,
            at=attributes.time,
            by=attributes,
        )


async def grant_for_trainings(session: Session, events: Sequence[ReceivedEvent[AssignmentCompleted]]) -> None:
    """Each assignment gives each rule's points once. The agents must have been locked."""
    known = [rule for rule in await rules.load_current_rules(session) if isinstance(rule, TrainingCompletedRule)]
    heard = [
        (event, rule) for event in events for rule in known if rule.rewards(event.body.template, event.body.passed)
    ]
    if not heard:
        return
    books = await ledger.load_batch_by_causes(
        session,
        {event.body.agent_id for event, _ in heard},
        {str(event.body.assignment_id) for event, _ in heard},
    )
    workdays = await agent_workdays.load_workdays(session, {event.body.agent_id for event, _ in heard})
    for event, rule in heard:
        body = event.body
        books.grant(
            rule,
            body.agent_id,
            cause=str(body.assignment_id),
            occasion="completed",
            points=rule.points,
            earned_on=workdays.workday_of(body.agent_id, event.attributes.time),
            detail={"template": body.template, "score_percent": body.score_percent},
            at=event.attributes.time,
            by=event.attributes,
        )
    await ledger_events.write_entries(session, books)
