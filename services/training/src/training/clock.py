"""The clock: scheduled publications, due dates, and the deletion of documents that nothing points to."""

from uuid import UUID

from contracts.audit import Origin
from servicekit import DueItem
from servicekit.service_definition import DueHandler
from storage import DocumentStore, Session, Sweeper

from training.actions.assignments import mark_overdue
from training.actions.templates import publish_scheduled
from training.store import templates as store


def handlers(documents: DocumentStore) -> dict[str, DueHandler]:
    """The handlers by kind of due item."""
    sweeper = Sweeper(documents, {store.COLLECTION: store.delete_unused})

    async def on_publish(session: Session, item: DueItem) -> None:
        if item.body.get("origin"):  # items of older releases have none
            session.origin = Origin.model_validate(item.body["origin"])
        await publish_scheduled(session, documents, item.ref)

    async def on_overdue(session: Session, item: DueItem) -> None:
        await mark_overdue(session, UUID(item.ref))

    return {
        "publish": on_publish,
        "overdue": on_overdue,
        "sweep": sweeper.on_sweep,
        "discard": sweeper.on_discard,
    }
