"""Interactions: canonical legs, their versions, and the raw payloads that they came from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
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
from ingest.store import interactions, sources

router = door_router(tags=["interactions"])
_leg = msgspec.json.Decoder(Leg)


class InteractionView(BaseModel):
    """`partial`: it has legs of agents whom the caller may not see on their day."""

    id: UUID
    source: str
    external_id: str
    legs: list[LegRecorded]
    held: list[HeldView]
    partial: bool = False


class VersionView(BaseModel):
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
    places = await interactions.find(session, external_id, source)
    found = page_within(places, page, lambda each: f"{each['source']}/{each['root']}")
    return Page[InteractionView](items=await _views(session, caller, documents, found.items), next=found.next)


@router.get("/interactions/{interaction}")
@route_policy(reach="people")
async def get_interaction(
    interaction: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> WholeInteraction:
    """An interaction with its legs, their versions and the records that they came from."""
    place = await interactions.find_source_and_root(session, interaction)
    versions = await interactions.load_versions(session, interaction) if place else []
    views = await _views(session, caller, documents, [place], versions) if place else []
    if place is None or not views:
        raise NotFound("unknown-interaction", f"There is no interaction `{interaction}`.")
    source, vendor = place["source"], await _vendor(session, place["source"])
    shown = [
        VersionView(
            known_at=row["known_at"], receipt=row["receipt_id"], content=_event(row, interaction, source, vendor)
        )
        for row in versions
    ]
    visible = await load_visibility(session, caller)
    of_days = {(each.content.agent_id, each.content.workday, each.content.workday) for each in shown}
    seen = of_days if may_read_raw(caller) else await visible.filter_visible_spans(session, of_days)
    parts = await interactions.load_interaction_parts(session, source, place["root"]) if may_read_raw(caller) else []
    return WholeInteraction(
        **dict(views[0]),
        # A call that was moved to somebody else had an agent before, whom the caller may not see.
        versions=[each for each in shown if (each.content.agent_id, *[each.content.workday] * 2) in seen],
        parts=await _parts(documents, session.tenant, parts),
    )


async def _views(
    session: Session,
    caller: Caller,
    documents: DocumentStore,
    places: Sequence[dict[str, Any]],
    versions: Sequence[dict[str, Any]] = (),
) -> list[InteractionView]:
    """Those of the interactions of which the caller may see something. `versions` get their content too, with the same
    visit to the documents."""
    of_place = {interaction_id(session.tenant, each["source"], each["root"]): each for each in places}
    visible = await load_visibility(session, caller)
    rows = await interactions.load_legs(session, list(of_place))
    of_days = await visible.filter_visible_spans(
        session, {(row["agent_id"], row["workday"], row["workday"]) for row in rows}
    )
    seen = [row for row in rows if (row["agent_id"], row["workday"], row["workday"]) in of_days]
    if not visible.everyone:
        of_place = {id: place for id, place in of_place.items() if any(row["interaction_id"] == id for row in seen)}
    await leg_contents.load_contents(documents, session.tenant, [*seen, *versions])
    views = []
    for id, place in of_place.items():
        source, root = place["source"], place["root"]
        vendor = await _vendor(session, source)
        held = await interactions.load_held(session, source, [root]) if visible.everyone else []
        views.append(
            InteractionView(
                id=id,
                source=source,
                external_id=root,
                legs=[_event(row, id, source, vendor) for row in seen if row["interaction_id"] == id],
                held=[HeldView(interaction=row.pop("root"), **row) for row in held],
                partial=any(row["interaction_id"] == id for row in rows if row not in seen),
            )
        )
    return views


async def _vendor(session: Session, source: str) -> str:
    row = await sources.find(session, source)
    return row["vendor"] if row else ""


def _event(row: dict[str, Any], identifier: UUID, source: str, vendor: str) -> LegRecorded:
    return build_leg_event(
        _leg.decode(row["content"]), interaction_id=identifier, leg=row["leg"], version=row["version"], void=row["void"],
        mode=row["mode"], source=source, vendor=vendor,
    )  # fmt: skip


async def _parts(documents: DocumentStore, tenant: str, rows: list[dict[str, Any]]) -> list[PartView]:
    found = await documents.get(tenant, archive.RAW, sorted({row["document"] for row in rows})) if rows else {}
    views = []
    for row in rows:
        document = found.get(row["document"])
        views.append(
            PartView(
                contact=row["contact"],
                kind=row["kind"],
                stamped_at=None if row["stamp"] is None else EPOCH + timedelta(milliseconds=row["stamp"]),
                mode=row["mode"],
                receipt=row["receipt_id"],
                document=row["document"],
                position=row["position"],
                sha256=document.sha256 if document else None,
                raw=archive.unpack_raw_text(document, row["position"]) if document else None,
            )
        )
    return views
