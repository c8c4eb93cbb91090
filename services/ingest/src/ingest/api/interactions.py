"""Interactions: canonical legs, their versions, and the raw payloads that they came from."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from contracts.calls import LegRecorded
from fastapi import Request
from pydantic import BaseModel
from servicekit import Caller, CallerDep, Page, WorkSession, kit_of
from servicekit import router as door_router
from servicekit.directory import visible_agents
from servicekit.errors import NotFound
from servicekit.kit import Kit
from storage import Session

from ingest.actions import archive
from ingest.actions.versions import interaction_id, leg_event
from ingest.api.access import sees_raw
from ingest.api.sources import HeldView
from ingest.model.canonical import EPOCH, Leg
from ingest.store import interactions, sources

router = door_router(tags=["interactions"])
_leg = msgspec.json.Decoder(Leg)


class InteractionView(BaseModel):
    id: UUID
    source: str
    external_id: str
    legs: list[LegRecorded]
    held: list[HeldView]


class VersionView(BaseModel):
    known_at: datetime
    receipt: UUID | None
    content: LegRecorded


class PartView(BaseModel):
    """`raw` is the record as it came, for those who may see customers' numbers; `sha256` is of the document it lies in."""

    contact: str
    kind: str
    stamp: datetime | None
    mode: str
    receipt: UUID
    document: str
    position: int
    sha256: str | None = None
    raw: str | None = None


class WholeInteraction(InteractionView):
    versions: list[VersionView]
    parts: list[PartView]


@router.get("/interactions")
async def find_interactions(
    external_id: str, session: WorkSession, caller: CallerDep, source: str | None = None
) -> Page[InteractionView]:
    """The interactions that this vendor's id of a contact belongs to."""
    places = await interactions.find(session, external_id, source)
    found = [await _view(session, caller, row["source"], row["root"]) for row in places]
    return Page[InteractionView](items=[each for each in found if each is not None])


@router.get("/interactions/{interaction}")
async def get_interaction(
    interaction: UUID, session: WorkSession, caller: CallerDep, request: Request
) -> WholeInteraction:
    place = await interactions.place_of(session, interaction)
    view = await _view(session, caller, place["source"], place["root"]) if place else None
    if place is None or view is None:
        raise NotFound("unknown-interaction", f"There is no interaction `{interaction}`.")
    vendor = await _vendor(session, view.source)
    versions = [
        VersionView(
            known_at=row["known_at"], receipt=row["receipt_id"], content=_event(row, interaction, view.source, vendor)
        )
        for row in await interactions.versions_of(session, interaction)
    ]
    visible = await visible_agents(session, caller)
    parts = await interactions.parts_of(session, place["source"], place["root"]) if sees_raw(caller) else []
    return WholeInteraction(
        **dict(view),
        # A call that was moved to somebody else had an agent before, whom the caller may not see.
        versions=[each for each in versions if visible is None or each.content.agent_id in visible or sees_raw(caller)],
        parts=await _parts(kit_of(request), session.tenant, parts),
    )


async def _view(session: Session, caller: Caller, source: str, root: str) -> InteractionView | None:
    """None when the caller may see none of it."""
    identifier = interaction_id(session.tenant, source, root)
    rows = await interactions.legs_of(session, [identifier])
    visible = await visible_agents(session, caller)
    if visible is not None:
        rows = [row for row in rows if row["agent_id"] in visible]
        if not rows:
            return None
    vendor = await _vendor(session, source)
    held = await interactions.held_of(session, source, [root]) if visible is None else []
    return InteractionView(
        id=identifier,
        source=source,
        external_id=root,
        legs=[_event(row, identifier, source, vendor) for row in rows],
        held=[HeldView(interaction=row.pop("root"), **row) for row in held],
    )


async def _vendor(session: Session, source: str) -> str:
    row = await sources.find(session, source)
    return row["vendor"] if row else ""


def _event(row: dict[str, Any], identifier: UUID, source: str, vendor: str) -> LegRecorded:
    return leg_event(
        _leg.decode(row["content"]), interaction_id=identifier, leg=row["leg"], version=row["version"], void=row["void"],
        mode=row["mode"], source=source, vendor=vendor,
    )  # fmt: skip


async def _parts(kit: Kit, tenant: str, rows: list[dict[str, Any]]) -> list[PartView]:
    documents = await kit.documents.get(tenant, archive.RAW, sorted({row["document"] for row in rows})) if rows else {}
    views = []
    for row in rows:
        document = documents.get(row["document"])
        views.append(
            PartView(
                contact=row["contact"],
                kind=row["kind"],
                stamp=None if row["stamp"] is None else EPOCH + timedelta(milliseconds=row["stamp"]),
                mode=row["mode"],
                receipt=row["receipt_id"],
                document=row["document"],
                position=row["position"],
                sha256=document.sha256 if document else None,
                raw=archive.raw_of(document, row["position"]) if document else None,
            )
        )
    return views
