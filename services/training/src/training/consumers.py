"""The event door: bands bring trainings about, blueprints bring templates and rules."""

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft
from servicekit import Received
from servicekit.blueprints import take_section
from storage import DocumentStore, Session

from training.actions import bands
from training.actions.rules import apply_blueprint


async def on_band_entered(session: Session, event: Received[BandEntered]) -> None:
    await bands.enter_band(session, event.attributes.id, event.body)


async def on_band_left(session: Session, event: Received[BandLeft]) -> None:
    await bands.leave_band(session, event.attributes.id, event.body)


async def on_band_corrected(session: Session, event: Received[BandCorrected]) -> None:
    await bands.correct_band(session, event.attributes.id, event.body)


async def on_blueprint_published(
    documents: DocumentStore, session: Session, event: Received[BlueprintPublished]
) -> None:
    content = event.body.sections.get("training")
    if content is not None and await take_section(session, event):
        await apply_blueprint(session, documents, event.body.version, content)
