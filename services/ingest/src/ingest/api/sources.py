"""The API of sources: configuration, health, and held contacts."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, page_of, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound
from storage import Session

from ingest.actions import sources as actions
from ingest.api.access import READER_ROLES, SENDER_ROLES
from ingest.model.canonical import HoldReason
from ingest.model.sources import SLUG, SourceSpec
from ingest.store import held_contacts, sources
from ingest.store.sources import SourceHealth, SourceRow

router = door_router(tags=["sources"])


class Health(BaseModel):
    """Of the last seven days. Shares are of the records received; null without any."""

    last_received_at: datetime | None = None
    receipts: int = 0
    received: int = 0
    share_rejected: float | None = None
    share_corrected: float | None = None
    held_now: dict[str, int] = {}


class SourceView(SourceSpec):
    """`retired`: it takes nothing more, and is no part of a blueprint."""

    source: str
    # Wider than in a specification, which cannot retire a source.
    status: Literal["active", "paused", "retired"]  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    updated_at: datetime
    health: Health


class Awaited(BaseModel):
    """An agent's name that the directory does not know, and how many contacts wait for it."""

    external_id: str
    names: list[str]
    waiting: int
    held_at: datetime


class HeldView(BaseModel):
    """A held contact, and what it waits for."""

    contact: str
    interaction: str
    reason: HoldReason
    waits_for: list[str]
    held_at: datetime | None = None


class HeldPage(Page[HeldView]):
    """Held contacts, and the agents whom the directory does not know. `people` is the same on each page."""

    people: list[Awaited]


async def _load_source_row(session: Session, slug: str) -> SourceRow:
    row = await sources.find(session, slug)
    if row is None:
        raise _unknown_source(slug)
    return row


def _unknown_source(slug: str) -> NotFound:
    return NotFound("unknown-source", f"There is no source `{slug}`. PUT /sources/{slug} makes one.")


async def _views(session: Session, rows: list[SourceRow]) -> list[SourceView]:
    health, held = await sources.load_health(session), await sources.count_held(session)
    return [_view(row, health.get(row.slug, SourceHealth()), held.get(row.slug, {})) for row in rows]


def _view(row: SourceRow, health: SourceHealth, held: dict[str, int]) -> SourceView:
    def share(count: int) -> float | None:
        return round(count / health.received, 4) if health.received else None

    return SourceView(
        source=row.slug,
        **row.spec,
        updated_at=row.updated_at,
        health=Health(
            last_received_at=health.last_received_at,
            receipts=health.receipts,
            received=health.received,
            share_rejected=share(health.rejected),
            share_corrected=share(health.corrected),
            held_now=held,
        ),
    )


@router.get("/sources")
@route_policy(roles=READER_ROLES)
async def list_sources(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[SourceView]:
    """All sources with their health, by name."""
    return page_within(await _views(session, await sources.load_all(session)), page, lambda each: each.source)


@router.get("/sources/{source}")
@route_policy(roles=READER_ROLES, volatile_fields=("health",))
async def get_source(source: str, session: WorkSession, caller: CallerDep) -> SourceView:
    """A source with its health."""
    return (await _views(session, [await _load_source_row(session, source)]))[0]


@router.put("/sources/{source}")
@route_policy(roles=SENDER_ROLES)
async def put_source(
    source: Annotated[str, Path(pattern=SLUG)], spec: SourceSpec, session: WorkSession, caller: CallerDep
) -> SourceView:
    """Creates or changes a source. Records that came before keep what was read out of them until they are replayed."""
    await actions.edit_source(session, source, spec)
    return (await _views(session, [await _load_source_row(session, source)]))[0]


@router.delete("/sources/{source}", status_code=204)
@route_policy(roles=SENDER_ROLES)
async def retire_source(source: str, session: WorkSession, caller: CallerDep) -> None:
    """It takes nothing more. What came of it stays, can still be read, replayed and undone; PUT brings it back. Refused
    (409) while something is being received."""
    if not await actions.retire_source(session, source):
        raise _unknown_source(source)


@router.get("/sources/{source}/held")
@route_policy(roles=READER_ROLES)
async def list_held(
    source: str, session: WorkSession, caller: CallerDep, page: PageDep, reason: HoldReason | None = None
) -> HeldPage:
    """What has no effect yet, and the people and parts that it waits for."""
    await _load_source_row(session, source)
    after = page.value(str)
    rows = await held_contacts.load_held_page(session, source, reason, page.limit + 1, after)
    views = [
        HeldView(
            contact=row.contact, interaction=row.root, reason=row.reason, waits_for=row.waits_for, held_at=row.held_at
        )
        for row in rows
    ]
    found = page_of(views, page, lambda view: [view.contact])
    unknown = await held_contacts.load_unknown_agents(session, source, 100)
    people = [Awaited.model_validate(each._asdict()) for each in unknown]
    return HeldPage(items=found.items, next=found.next, people=people)
