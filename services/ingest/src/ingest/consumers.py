"""The event door."""

from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import Received
from servicekit.blueprints import take_section
from storage import DocumentStore, Session

from ingest.actions import naming, sources


async def on_person_changed(documents: DocumentStore, session: Session, event: Received[PersonChanged]) -> None:
    await naming.on_person(session, documents, event.body)


async def on_org_unit_changed(documents: DocumentStore, session: Session, event: Received[OrgUnitChanged]) -> None:
    await naming.on_org_unit(session, documents, event.body.id)


async def on_tenant_changed(documents: DocumentStore, session: Session, event: Received[TenantChanged]) -> None:
    await naming.on_tenant(session, documents)


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    if sources.SERVICE in event.body.sections and await take_section(session, event):
        await sources.apply_blueprint(session, event.body)
