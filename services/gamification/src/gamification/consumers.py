"""The event door: bands, scores and finished trainings give points; blueprints bring rules."""

from contracts.blueprints import BlueprintPublished
from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import Received
from servicekit.blueprints import take_section
from storage import Session

from gamification.actions import bands
from gamification.actions.improvement import hear_score
from gamification.actions.rules import apply_blueprint


async def on_band_left(session: Session, event: Received[BandLeft]) -> None:
    await bands.leave_band(session, event.attributes.id, event.body)


async def on_band_corrected(session: Session, event: Received[BandCorrected]) -> None:
    await bands.correct_band(session, event.attributes.id, event.body)


async def on_assignment_completed(session: Session, event: Received[AssignmentCompleted]) -> None:
    await bands.complete_training(session, event.body)


async def on_score_changed(session: Session, event: Received[ScoreChanged]) -> None:
    await hear_score(session, event.body)


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    content = event.body.sections.get("gamification")
    if content is not None and await take_section(session, event):
        await apply_blueprint(session, event.body.version, content)
