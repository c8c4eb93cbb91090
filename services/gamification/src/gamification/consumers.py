"""The event door: bands, scores and finished trainings move the ledger; blueprints bring rules and leaderboards."""

from contracts import Event
from contracts.assignments import AssignmentCompleted
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import claim_section, subscribe_to_names
from servicekit.service_definition import BatchHandler
from storage import Session

from gamification.actions import bands, improvement
from gamification.actions.rules import apply_blueprint


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
    """Applies the section `gamification` of a published blueprint, unless this service has handled that version."""
    content = event.body.sections.get("gamification")
    if content is not None and await claim_section(session, event):
        await apply_blueprint(session, event.body.version, content)
