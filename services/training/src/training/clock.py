"""The time door: publications and due dates."""

from uuid import UUID

from servicekit import DueItem
from storage import DocumentStore, Session

from training.actions.assignments import mark_overdue
from training.actions.templates import publish_scheduled, sweep


async def on_publish(documents: DocumentStore, session: Session, item: DueItem) -> None:
    await publish_scheduled(session, documents, item.ref)


async def on_overdue(session: Session, item: DueItem) -> None:
    await mark_overdue(session, UUID(item.ref))


async def on_sweep(documents: DocumentStore, session: Session, item: DueItem) -> None:
    await sweep(session, documents)
