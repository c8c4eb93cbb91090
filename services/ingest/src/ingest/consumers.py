"""The event door."""

from contracts.blueprints import BlueprintPublished
from contracts.directory import PersonChanged
from servicekit import Received
from storage import Session

from ingest.actions import naming, sources


async def on_person_changed(session: Session, event: Received[PersonChanged]) -> None:
    await naming.on_person(session, event.body)


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    await sources.apply_blueprint(session, event.body)
