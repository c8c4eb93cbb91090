"""The event door for blueprints. Band events go to `actions.bands` in batches."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import handle_section, subscribe_to_names
from storage import DocumentStore, Session

from training.actions import bands, rules, templates
from training.model.section import Section


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
    """Applies the section `training`, or nothing of it, and publishes `SectionApplied` or `SectionRejected`."""
    await handle_section(
        session,
        event,
        Section,
        lambda section: rules.apply_section(session, documents, section),
        lambda version: templates.publish_section_applied(session, documents, version=version),
    )
