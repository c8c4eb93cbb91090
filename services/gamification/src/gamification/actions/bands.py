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
    """Grants points for bands that were left and reverses them for corrected ones, in the order of the events. An event
    older than the newest one about its stay has no effect, and neither has history. The agents must be locked."""
    band_rules = [rule for rule in await rules.load_current_rules(session) if isinstance(rule, BandLeftRule)]
    relevant = [(event.body, event.attributes, _find_rewarding_rules(band_rules, event.body)) for event in events]
    relevant = [each for each in relevant if each[0].mode == "live" and (each[2] or isinstance(each[0], BandCorrected))]
    if not relevant:
        return
    agents, stays = {body.agent_id for body, _, _ in relevant}, {body.band_event_id for body, _, _ in relevant}
    batch = await ledger.load_batch_by_causes(session, agents, {str(each) for each in stays})
    workdays = await agent_workdays.load_workdays(session, agents)
    corrections = [attributes.id for body, attributes, _ in relevant if isinstance(body, BandCorrected)]
    new_corrections = await ledger.insert_corrections(session, corrections) if corrections else set[UUID]()
    known = await ledger.load_stay_versions(session, {body.band_event_id for body, _, _ in relevant if body.version})
    newer: dict[UUID, int] = {}
    for body, attributes, rewarding in relevant:
        newest = newer.get(body.band_event_id, known.get(body.band_event_id, 0))
        if 0 < body.version < newest:
            continue
        if body.version > newest:
            newer[body.band_event_id] = body.version
        if isinstance(body, BandLeft):
            _grant_for_leaving(batch, body, attributes, rewarding, workdays.workday_of(body.agent_id, attributes.time))
        elif attributes.id in new_corrections:
            new_corrections.remove(attributes.id)
            _reverse_for_correction(batch, body, attributes)
    if newer:
        await ledger.upsert_stay_versions(session, newer)
    await ledger_events.write_entries(session, batch)


def _find_rewarding_rules(band_rules: Sequence[BandLeftRule], body: BandLeft | BandCorrected) -> list[BandLeftRule]:
    if isinstance(body, BandCorrected):
        return []
    return [rule for rule in band_rules if rule.rewards(body.kpi, body.band, body.rank, body.to_rank)]


def _grant_for_leaving(
    batch: LedgerBatch, body: BandLeft, attributes: Attributes, rewarding: Sequence[BandLeftRule], today: date
) -> None:
    """Grants each rule's points, unless a grant of the rule for this stay stands. The event's id as occasion
    distinguishes a second leaving, after a reversal, from a redelivery of the first."""
    cause = str(body.band_event_id)
    for rule in rewarding:
        if not batch.find_standing_grants(body.agent_id, cause, rule=rule.rule):
            batch.grant(
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


def _reverse_for_correction(batch: LedgerBatch, body: BandCorrected, attributes: Attributes) -> None:
    """Reverses every grant for leaving the stay, both when the stay is retracted and when only its end is."""
    for entry in batch.find_standing_grants(body.agent_id, str(body.band_event_id)):
        batch.reverse(
            entry,
            body.reason or "the band was corrected",
            body.reason_code or "band_corrected",
            body.reason_values,
            at=attributes.time,
            by=attributes,
        )


async def grant_for_trainings(session: Session, events: Sequence[ReceivedEvent[AssignmentCompleted]]) -> None:
    """Grants each rule's points once for each completed assignment. The agents must be locked."""
    training_rules = [
        each for each in await rules.load_current_rules(session) if isinstance(each, TrainingCompletedRule)
    ]
    relevant = [
        (event, rule)
        for event in events
        for rule in training_rules
        if rule.rewards(event.body.template, event.body.passed)
    ]
    if not relevant:
        return
    agents = {event.body.agent_id for event, _ in relevant}
    batch = await ledger.load_batch_by_causes(session, agents, {str(event.body.assignment_id) for event, _ in relevant})
    workdays = await agent_workdays.load_workdays(session, agents)
    for event, rule in relevant:
        body = event.body
        batch.grant(
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
    await ledger_events.write_entries(session, batch)
