"""The event door: bands, scores and finished trainings change the ledger; blueprints replace rules and leaderboards."""

from contracts import Event
from contracts.assignments import AssignmentCompleted
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import handle_section, subscribe_to_names
from servicekit.service_definition import BatchHandler
from storage import Session

from gamification.actions import bands, improvement, rules
from gamification.model.section import CURES, Section


def subscriptions() -> list[Subscription]:
    """All topics that gamification reads."""
    return [
        _subscribe_by_agent("bands", bands.apply_band_events, BandLeft, BandCorrected),
        _subscribe_by_agent("scores", improvement.apply_score_events, ScoreChanged),
        _subscribe_by_agent("assignments", bands.grant_for_trainings, AssignmentCompleted),
        Subscription("blueprints", {BlueprintPublished: on_blueprint_published}),
        *subscribe_to_names("kpi-engine", "training", "notification"),
    ]


def _subscribe_by_agent(topic: str, handler: BatchHandler, *types: type[Event]) -> Subscription:
    """Readers of all three topics change the same agent's ledger, so they lock by agent."""
    return Subscription(topic, batch=handler, types=types, by_tenant=True, lock_by_key=True)


async def on_blueprint_published(session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
    """Applies the section `gamification`, or nothing of it, and publishes `SectionApplied` or `SectionRejected`."""
    await handle_section(
        session,
        event,
        Section,
        lambda section: rules.apply_section(session, section),
        lambda version: rules.publish_section_applied(session, version=version),
        cures=CURES,
    )
