"""The event door for blueprints. Bands, scores and trainings go from `service` to `actions` directly."""

from contracts.blueprints import BlueprintPublished
from servicekit import ReceivedEvent
from servicekit.blueprints import claim_section
from storage import Session

from gamification.actions.rules import apply_blueprint


async def on_blueprint_published(session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
    """Applies the section `gamification` of a published blueprint, unless this service has handled that version."""
    content = event.body.sections.get("gamification")
    if content is not None and await claim_section(session, event):
        await apply_blueprint(session, event.body.version, content)
