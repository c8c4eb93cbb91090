"""The event door: bands bring trainings about, as `actions` say; blueprints bring templates and rules."""

from contracts.blueprints import BlueprintPublished
from servicekit import ReceivedEvent
from servicekit.blueprints import claim_section
from storage import DocumentStore, Session

from training.actions.rules import apply_blueprint


async def on_blueprint_published(
    documents: DocumentStore, session: Session, event: ReceivedEvent[BlueprintPublished]
) -> None:
    content = event.body.sections.get("training")
    if content is not None and await claim_section(session, event):
        await apply_blueprint(session, documents, event.body.version, content)
