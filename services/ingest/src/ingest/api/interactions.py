"""The API of interactions: canonical legs, their versions, and the raw records that they came from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from contracts import Mode
from contracts.legs import LegRecorded
from pydantic import BaseModel
from servicekit import Caller, CallerDep, DocumentsDep, Page, PageDep, WorkSession, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound
from servicekit.visibility import load_visibility
from storage import DocumentStore, Session

from ingest.actions import archive, leg_contents
from ingest.actions.versions import build_leg_event, interaction_id
from ingest.api.access import may_read_raw
from ingest.api.sources import HeldView
from ingest.model.canonical import EPOCH, Leg
from ingest.model.registry import RecordKind
from ingest.store import held_contacts, interactions, sources
from ingest.store.interactions import InteractionKey, LegRow, LegVersionRow, PartLocation

router = door_router(tags=["interactions"])
_decode_leg = msgspec.json.Decoder(Leg).decode


class InteractionView(BaseModel):
    """`partial`: it has legs of agents whom the caller may not see on their day."""

    id: UUID
    source: str
    external_id: str
    legs: list[LegRecorded]
    held: list[HeldView]
    partial: bool = False


class VersionView(BaseModel):
    """A version of a leg. `receipt` null: a change of the directory caused it."""

    known_at: datetime
    receipt: UUID | None
    content: LegRecorded


class PartView(BaseModel):
    """`raw` is the record as it came, for those who may see customers' numbers; `sha256` is of the document it lies in."""

    contact: str
    kind: RecordKind
    stamped_at: datetime | None
    mode: Mode
    receipt: UUID
    document: str
    position: int
    sha256: str | None = None
    raw: str | None = None


class WholeInteraction(InteractionView):
    """An interaction with all versions of its legs, and its records."""

    versions: list[VersionView]
    parts: list[PartView]


@router.get("/interactions")
@route_policy(reach="people")
async def list_interactions(
    external_id: str,
    session: WorkSession,
    caller: CallerDep,
    documents: DocumentsDep,
    page: PageDep,
    source: str | None = None,
) -> Page[InteractionView]:
    """The interactions that this vendor's id of a contact belongs to."""
    keys = await interactions.find_by_contact(session, external_id, source)
    found = page_within(keys, page, lambda each: f"{each.source}/{each.root}")
    views, _ = await _views(session, caller, documents, found.items)
    return Page[InteractionView](items=views, next=found.next)


@router.get("/interactions/{interaction}")
@route_policy(reach="people")
async def get_interaction(
    interaction: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> WholeInteraction:
    """An interaction with its legs, their versions and the records that they came from."""
    key = await interactions.find_interaction_key(session, interaction)
    if key is None:
        raise _unknown(interaction)
    versions = await interactions.load_versions(session, interaction)
    views, contents = await _views(session, caller, documents, [key], versions)
    if not views:
        raise _unknown(interaction)
    vendor = await _vendor(session, key.source)
    shown = [
        VersionView(
            known_at=row.known_at,
            receipt=row.receipt_id,
            content=_event(row, content, interaction, key.source, vendor),
        )
        for row, content in zip(versions, contents, strict=True)
    ]
    visible = await load_visibility(session, caller)
    spans = {(each.content.agent_id, each.content.workday, each.content.workday) for each in shown}
    visible_spans = spans if may_read_raw(caller) else await visible.filter_visible_spans(session, spans)
    parts = await interactions.load_interaction_parts(session, key.source, key.root) if may_read_raw(caller) else []
    return WholeInteraction(
        **dict(views[0]),
        # An earlier version may have had another agent, whom the caller may not see.
        versions=[each for each in shown if (each.content.agent_id, *[each.content.workday] * 2) in visible_spans],
        parts=await _parts(documents, session.tenant, parts),
    )


def _unknown(interaction: UUID) -> NotFound:
    return NotFound("unknown-interaction", f"There is no interaction `{interaction}`.")


async def _views(
    session: Session,
    caller: Caller,
    documents: DocumentStore,
    keys: Sequence[InteractionKey],
    versions: Sequence[LegVersionRow] = (),
) -> tuple[list[InteractionView], list[bytes]]:
    """Those of the interactions of which the caller may see something; and the contents of `versions`, which are fetched
    with the same request to the document store."""
    by_id = {interaction_id(session.tenant, each.source, each.root): each for each in keys}
    visible = await load_visibility(session, caller)
    rows = await interactions.load_legs(session, list(by_id))
    visible_spans = await visible.filter_visible_spans(
        session, {(row.agent_id, row.workday, row.workday) for row in rows}
    )
    visible_rows = [row for row in rows if (row.agent_id, row.workday, row.workday) in visible_spans]
    if not visible.everyone:
        visible_ids = {row.interaction_id for row in visible_rows}
        by_id = {id: key for id, key in by_id.items() if id in visible_ids}
    contents = await leg_contents.load_contents(documents, session.tenant, [*visible_rows, *versions])
    leg_rows = list(zip(visible_rows, contents[: len(visible_rows)], strict=True))
    partial_ids = {row.interaction_id for row in rows if (row.agent_id, row.workday, row.workday) not in visible_spans}
    views: list[InteractionView] = []
    for id, key in by_id.items():
        vendor = await _vendor(session, key.source)
        held = await held_contacts.load_held(session, key.source, [key.root]) if visible.everyone else []
        views.append(
            InteractionView(
                id=id,
                source=key.source,
                external_id=key.root,
                legs=[
                    _event(row, content, id, key.source, vendor)
                    for row, content in leg_rows
                    if row.interaction_id == id
                ],
                held=[
                    HeldView(contact=row.contact, interaction=row.root, reason=row.reason, waits_for=row.waits_for)
                    for row in held
                ],
                partial=id in partial_ids,
            )
        )
    return views, contents[len(visible_rows) :]


async def _vendor(session: Session, source: str) -> str:
    row = await sources.find(session, source)
    return row.vendor if row else ""


def _event(row: LegRow | LegVersionRow, content: bytes, interaction: UUID, source: str, vendor: str) -> LegRecorded:
    return build_leg_event(
        _decode_leg(content),
        interaction_id=interaction,
        leg=row.leg,
        version=row.version,
        void=row.void,
        mode=row.mode,
        source=source,
        vendor=vendor,
    )


async def _parts(documents: DocumentStore, tenant: str, rows: Sequence[PartLocation]) -> list[PartView]:
    found = await documents.get(tenant, archive.RAW, sorted({row.document for row in rows})) if rows else {}
    views: list[PartView] = []
    for row in rows:
        document = found.get(row.document)
        views.append(
            PartView(
                contact=row.contact,
                kind=row.kind,
                stamped_at=None if row.stamp is None else EPOCH + timedelta(milliseconds=row.stamp),
                mode=row.mode,
                receipt=row.receipt_id,
                document=row.document,
                position=row.position,
                sha256=document.sha256 if document else None,
                raw=archive.unpack_raw_text(document, row.position) if document else None,
            )
        )
    return views
