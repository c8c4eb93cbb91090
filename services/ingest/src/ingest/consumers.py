"""The event door."""

from contracts.blueprints import BlueprintPublished
from contracts.directory import PersonChanged
from servicekit import Received
from storage import DocumentStore, Session

from ingest.actions import naming, sources


async def on_person_changed(documents: DocumentStore, session: Session, event: Received[PersonChanged]) -> None:
    await naming.on_person(session, documents, event.body)


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    await sources.apply_blueprint(session, event.body)
