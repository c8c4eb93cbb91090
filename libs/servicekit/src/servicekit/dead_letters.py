"""The API of a service's dead letters: list them, and replay one through the same reader."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from messaging.broker import Message
from messaging.retry import is_transient
from pydantic import BaseModel

from servicekit.audit import record_change
from servicekit.door import CallerDep, Page, PageDep, WorkSession, bounded_page, page_of, route_policy, router
from servicekit.door.access import enter_tenant
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.event_door import EventDoor, parse_message

ADMINS = ("tenant_admin", "platform_admin")


class DeadLetter(BaseModel):
    """A message that its reader could not handle: the complete message with the error."""

    id: UUID
    tenant: str
    topic: str
    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    value: str | None
    error: str
    traceback: str
    buried_at: datetime
    replayed_at: datetime | None


def dead_letter_router(doors: dict[str, EventDoor]) -> APIRouter:
    """The routes below `/dead-letters`, which every service has. `doors`: topic → this service's reader."""
    routes = router(tags=["dead letters"])

    @routes.get("/dead-letters")
    @route_policy(roles=ADMINS)
    async def list_dead_letters(  # pyright: ignore[reportUnusedFunction]
        session: WorkSession, caller: CallerDep, page: PageDep, replayed: bool = False, tenant: str | None = None
    ) -> Page[DeadLetter]:
        """Dead letters of the tenant, oldest first; a platform admin may name another tenant."""
        await enter_tenant(session, caller, tenant)
        after = page.value(UUID)
        rows, page = await bounded_page(
            session,
            "SELECT * FROM dead_letter WHERE (replayed_at IS NOT NULL) = :replayed "
            "AND (cast(:after AS uuid) IS NULL OR id > :after)",
            {"replayed": replayed, "after": after},
            page,
            order="id",
            size="coalesce(octet_length(value), 0) + octet_length(traceback) + 500",
        )
        return page_of([_to_dead_letter(row) for row in rows], page, cursor=lambda each: [str(each.id)])

    @routes.post("/dead-letters/{dead_letter}/replay")
    @route_policy(roles=ADMINS)
    async def replay_dead_letter(  # pyright: ignore[reportUnusedFunction]
        dead_letter: UUID, session: WorkSession, caller: CallerDep, tenant: str | None = None
    ) -> DeadLetter:
        """Hands the message to this service's reader once more; nobody else sees it."""
        await enter_tenant(session, caller, tenant)
        row = await session.row("SELECT * FROM dead_letter WHERE id = :id FOR UPDATE", {"id": dead_letter})
        if row is None:
            raise NotFound("unknown-dead-letter", f"There is no dead letter {dead_letter}.")
        if row["replayed_at"] is not None:
            raise Conflict("replayed-before", f"It was replayed at {row['replayed_at']:%Y-%m-%d %H:%M:%S}.")
        message = Message(
            row["topic"], row["partition"], row["offset"], row["key"], row["value"], row["headers"], row["buried_at"]
        )
        try:
            await doors[row["topic"]].handle(session, [parse_message(message)])
        except Exception as error:
            if is_transient(error):
                raise
            raise Invalid("still-poison", f"It failed again: {type(error).__name__}: {error}") from error
        record_change(session, "dead_letter", str(dead_letter), action="replayed", after=_summarize(row))
        replayed_at = datetime.now(UTC)
        await session.execute(
            "UPDATE dead_letter SET replayed_at = :at WHERE id = :id", {"at": replayed_at, "id": dead_letter}
        )
        return _to_dead_letter({**row, "replayed_at": replayed_at})

    return routes


def _summarize(row: dict[str, Any]) -> dict[str, Any]:
    """What identifies the message, without its content."""
    return {"topic": row["topic"], "type": row["headers"].get("ce_type"), "event": row["headers"].get("ce_id")}


def _to_dead_letter(row: dict[str, Any]) -> DeadLetter:
    value = row["value"]
    return DeadLetter.model_validate(
        {**row, "value": None if value is None else bytes(value).decode("utf-8", "replace")}
    )
