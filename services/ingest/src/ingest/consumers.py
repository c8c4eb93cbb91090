"""The event door: changes of people, org units and tenants, and blueprints."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import handle_section, subscribe_to_names
from storage import DocumentStore, Session

from ingest.actions import directory_changes, sources
from ingest.model.sources import Section


def subscriptions(documents: DocumentStore) -> list[Subscription]:
    """The subscriptions of ingest."""
    return [
        Subscription(
            "directory",
            {
                PersonChanged: partial(on_person_changed, documents),
                OrgUnitChanged: partial(on_org_unit_changed, documents),
                TenantChanged: partial(on_tenant_changed, documents),
            },
        ),
        *subscribe_to_names("kpi-engine"),
        Subscription("blueprints", {BlueprintPublished: on_blueprint_published}),
    ]


async def on_person_changed(documents: DocumentStore, session: Session, event: ReceivedEvent[PersonChanged]) -> None:
    """Handles a change of a person."""
    await directory_changes.on_person(session, documents, event.body)


async def on_org_unit_changed(documents: DocumentStore, session: Session, event: ReceivedEvent[OrgUnitChanged]) -> None:
    """Handles a change of an org unit."""
    await directory_changes.on_org_unit(session, documents, event.body.id)


async def on_tenant_changed(documents: DocumentStore, session: Session, event: ReceivedEvent[TenantChanged]) -> None:
    """Handles a change of a tenant."""
    await directory_changes.on_tenant(session, documents)


async def on_blueprint_published(session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
    """Applies the section `ingest`, or nothing of it, and publishes `SectionApplied` or `SectionRejected`."""
    await handle_section(
        session,
        event,
        Section,
        partial(sources.apply_section, session),
        lambda version: sources.publish_section_applied(session, version=version),
    )
