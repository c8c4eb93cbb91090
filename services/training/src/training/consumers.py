"""The event door for blueprints. Band events go to `actions.bands` in batches."""

from contracts.blueprints import BlueprintPublished
from servicekit import ReceivedEvent
from servicekit.blueprints import claim_section
from storage import DocumentStore, Session

from training.actions.rules import apply_blueprint


async def on_blueprint_published(
    documents: DocumentStore, session: Session, event: ReceivedEvent[BlueprintPublished]
) -> None:
    """Applies this service's section, where the blueprint has one that was not applied yet."""
    content = event.body.sections.get("training")
    if content is not None and await claim_section(session, event):
        await apply_blueprint(session, documents, event.body.version, content)
