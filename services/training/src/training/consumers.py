"""The event door for blueprints. Band events go to `actions.bands` in batches."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import claim_section, subscribe_to_names
from storage import DocumentStore, Session

from training.actions import bands
from training.actions.rules import apply_blueprint


def subscriptions(documents: DocumentStore) -> list[Subscription]:
    """All topics that training reads."""
    return [
        Subscription(
            "bands",
            batch=bands.apply_band_events,
            types=(BandEntered, BandStayed, BandLeft, BandCorrected),
            by_tenant=True,
            lock_by_key=True,
        ),
        Subscription("blueprints", {BlueprintPublished: partial(on_blueprint_published, documents)}),
        *subscribe_to_names("kpi-engine", "gamification", "notification"),
    ]


async def on_blueprint_published(
    documents: DocumentStore, session: Session, event: ReceivedEvent[BlueprintPublished]
) -> None:
    """Applies this service's section, where the blueprint has one that was not applied yet."""
    content = event.body.sections.get("training")
    if content is not None and await claim_section(session, event):
        await apply_blueprint(session, documents, event.body.version, content)
