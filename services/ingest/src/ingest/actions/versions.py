"""New versions of legs, each with its event."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from contracts import derived_id
from contracts.legs import LegRecorded
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions import leg_contents
from ingest.actions.archive import RAW
from ingest.model.arrivals import encode_sorted, hash_content
from ingest.model.canonical import EPOCH, Interaction, Leg
from ingest.model.sources import Source
from ingest.store import interactions
from ingest.store.interactions import InsertLegVersion, LegHead, LegVersionKey, UpsertLeg

_encode_event = msgspec.json.Encoder().encode
_LEG = msgspec.json.Decoder(Leg)


def _encode(self: object) -> bytes:
    return _encode_event(self)


# A struct in place of the pydantic model: thousands of events are created here. It is not validated again, and costs a
# fifth.
_LegRecorded: Any = msgspec.defstruct(
    "LegRecorded",
    # Required fields first, as a struct demands.
    [
        *(name for name, field in LegRecorded.model_fields.items() if field.is_required()),
        *((name, Any, field.default) for name, field in LegRecorded.model_fields.items() if not field.is_required()),
    ],
    namespace={
        "type": LegRecorded.type,
        "key": LegRecorded.key,
        "target_topic": LegRecorded.target_topic,
        "encode": _encode,
    },
)


def interaction_id(tenant: str, source: str, root: str) -> UUID:
    """The id of the interaction that began with contact `root`."""
    return derived_id("interaction", tenant, source, root)


class LegVersionCollector:
    """Collects the new versions of a source's legs. `changed`: roots of the interactions that change; `recorded_count`: new
    versions, of which `voided_count` are void; `agents`: whose legs change."""

    def __init__(self, session: Session, documents: DocumentStore, source: Source) -> None:
        self.changed: set[str] = set()
        self.recorded_count = 0
        self.voided_count = 0
        self.agents: set[UUID] = set()
        self._session = session
        self._documents = documents
        self._source = source
        self._heads: list[UpsertLeg] = []
        self._versions: list[LegVersionKey] = []
        self._contents: list[bytes] = []
        self._events: list[Any] = []
        self._ids: dict[str, UUID] = {}
        self._vanished_legs: list[tuple[str, int, LegHead]] = []

    def id_of(self, root: str) -> UUID:
        """The id of the interaction that began with contact `root`."""
        if root not in self._ids:
            self._ids[root] = interaction_id(self._session.tenant, self._source.slug, root)
        return self._ids[root]

    def collect_changed(self, root: str, merged: Interaction, modes: dict[str, str], heads: dict[int, LegHead]) -> None:
        """Adds a new version of each leg that differs from its current version in `heads` (by number), and voids legs that
        are no longer there. `modes`: contact → mode."""
        for number, leg in enumerate(merged.legs, 1):
            head = heads.get(number)
            content = encode_sorted(leg)
            hash_ = hash_content(content)
            if head is None or head.void or head.hash != hash_:
                version = head.version + 1 if head else 1
                self._add(root, number, version, leg, content, hash_, modes[leg.external_id], void=False)
                if head and head.agent_id:
                    self.agents.add(head.agent_id)
        for number, head in heads.items():
            if number > len(merged.legs):
                self._void(root, number, head)

    def _void(self, root: str, number: int, head: LegHead | None) -> None:
        if head is not None and not head.void:
            self._vanished_legs.append((root, number, head))
            self.changed.add(root)

    async def void_vanished(self) -> None:
        """Adds a void version of each leg that is no longer there, with its last content."""
        keys = [(self.id_of(root), leg, head.version) for root, leg, head in self._vanished_legs]
        rows = await interactions.load_version_contents(self._session, keys)
        if rows:
            await self._session.await_writes()  # this session may just have written them
        contents = await leg_contents.load_contents(self._documents, self._session.tenant, rows)
        by_leg = {(row.interaction_id, row.leg): content for row, content in zip(rows, contents, strict=True)}
        for (root, number, head), (identifier, _, version) in zip(self._vanished_legs, keys, strict=True):
            content = by_leg[identifier, number]
            leg = _LEG.decode(content)
            self._add(root, number, version + 1, leg, content, head.hash, head.mode, void=True)
            self.voided_count += 1

    def _add(
        self, root: str, number: int, version: int, leg: Leg, content: bytes, hash_: UUID, mode: str, *, void: bool
    ) -> None:
        key: LegVersionKey = {
            "interaction_id": self.id_of(root),
            "leg": number,
            "version": version,
            "void": void,
            "mode": mode,
        }
        fields = _event_fields(leg)
        self._heads.append(
            {
                **key,
                "root": root,
                "external_id": leg.external_id,
                "hash": hash_,
                "agent_id": leg.agent_id,
                "started_at": fields["started_at"],
                "workday": leg.workday,
            }
        )
        self._versions.append(key)
        self._contents.append(content)
        self._events.append(_LegRecorded(**key, **fields, source=self._source.slug, vendor=self._source.vendor))
        self.recorded_count += 1
        self.changed.add(root)
        if leg.agent_id:
            self.agents.add(leg.agent_id)

    def write_to(self, batch: MultiInsert, extra_documents: Sequence[Document]) -> None:
        """Adds the rows to the batch, emits the events, and starts to write the contents, together with
        `extra_documents`."""
        documents, locations = leg_contents.pack_contents(self._contents)
        if documents or extra_documents:
            self._session.write_before_commit(
                self._documents.put(self._session.tenant, RAW, [*extra_documents, *documents])
            )
        batch.add(interactions.LEGS, self._heads)
        versions: list[InsertLegVersion] = [
            {**key, **location} for key, location in zip(self._versions, locations, strict=True)
        ]
        batch.add(interactions.VERSIONS, versions)
        for event in self._events:
            self._session.emit(event)


def build_leg_event(content: Leg, /, **identity: Any) -> LegRecorded:
    """The event of a leg's version. `identity`: interaction_id, leg, version, void, mode, source, vendor."""
    return LegRecorded(**identity, **_event_fields(content))


_SHARED_FIELDS = tuple(name for name in Leg.__struct_fields__ if name not in ("started", "ended"))
_get_shared_fields = attrgetter(*_SHARED_FIELDS)


def _event_fields(leg: Leg) -> dict[str, Any]:
    """The fields of the event that come from the leg's content."""
    fields: dict[str, Any] = dict(zip(_SHARED_FIELDS, _get_shared_fields(leg), strict=True))
    fields["started_at"] = _instant(leg.started)
    fields["ended_at"] = None if leg.ended is None else _instant(leg.ended)
    return fields


def _instant(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)
