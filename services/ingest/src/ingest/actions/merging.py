"""Parts come and go; the legs that follow from them get new versions, and what must wait is held."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import msgspec
from contracts import Mode, new_id
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions.versions import LegVersionCollector, encode, hash_content
from ingest.model.canonical import Held, merge, root_of
from ingest.model.canonical import select_newest_parts as newest_parts
from ingest.model.parts import Analysis, Contact, ContactEvent, Part
from ingest.model.sources import Source
from ingest.store import interactions, receipts, roster
from ingest.store.interactions import HeldRow, LegHead, PartRow

_FACTS = {"contact": msgspec.json.Decoder(Contact), "analysis": msgspec.json.Decoder(Analysis)}
_MOMENT = msgspec.json.Decoder(ContactEvent)

Classification = Literal["first", "newer", "older", "repeated", "another"]
"""`another`: it seems to tell of another part of the call than what is there, and not to correct it."""


@dataclass(slots=True)
class Arrival:
    """A part that came in. `standing` says how it relates to the parts of its kind that were there before; `fresh`
    that it is not stored yet, and shall be."""

    part: Part
    mode: Mode
    document: str
    position: int
    id: UUID = field(default_factory=new_id)
    hash: UUID = field(init=False)
    classification: Classification = "first"
    is_new: bool = True

    def __post_init__(self) -> None:
        self.hash = hash_content(encode(self.part))

    @property
    def receipt(self) -> str:
        """The document's id begins with it."""
        return self.document[:36]


@dataclass(slots=True)
class _Stored:
    part: Part
    root: str
    mode: str
    hash: UUID
    id: UUID
    receipt: str


@dataclass
class MergeResult:
    """What came of it: by contact, what is held and the interaction that it belongs to; what was recorded."""

    versions: LegVersionCollector
    root_of: dict[str, str]
    held: dict[str, Held] = field(default_factory=dict[str, Held])


async def merge_parts(
    session: Session,
    documents: DocumentStore,
    source: Source,
    *,
    adding: Sequence[Arrival] = (),
    removing: Iterable[UUID] = (),
    rederive: Iterable[str] = (),
    extra_documents: Sequence[Document] = (),
    inserts: MultiInsert,
    dry_run: bool = False,
) -> MergeResult:
    """Adds and removes parts, and brings the interactions concerned up to date.

    `around`: contacts or roots whose interactions are derived again though their parts stay as they are; those of the
    parts in `removing` must be among them. What is new is put into `batch`, which the caller writes; `beside` are
    documents that are written with those of the new versions. With `dry_run` nothing is written.
    """
    wanted = set(rederive)
    for arrival in adding:
        wanted.add(arrival.part.contact)
        if arrival.part.initial:
            wanted.add(arrival.part.initial)
    locked: set[str] = set()
    while True:
        leaving = set(removing)
        await interactions.lock_contacts(session, source.slug, wanted - locked)
        locked |= wanted
        there = await interactions.load_related(session, source.slug, list(wanted))
        stored = {row.id: _decode_stored_part(row) for row in there.parts}
        arrived = _classify_arrivals(
            adding, stored, leaving, has_no_stamps=source.format.unstamped_id_column is not None
        )
        kept = [each for each in stored.values() if each.id not in leaving]
        by_contact: dict[str, list[_Stored]] = {}
        for each in [*kept, *arrived]:
            by_contact.setdefault(each.part.contact, []).append(each)
        roots = {
            contact: root_of(contact, newest_parts(each.part for each in found)[contact])
            for contact, found in by_contact.items()
        }
        missing = (set(roots.values()) | {each.root for each in stored.values()}) - wanted
        if not missing:
            break
        wanted |= missing
    affected = set(roots.values()) | {each.root for each in stored.values()} | {r for r in rederive if r in wanted}
    groups: dict[str, list[_Stored]] = {root: [] for root in sorted(affected)}
    for contact, found in by_contact.items():
        groups[roots[contact]].extend(found)
    names = {
        name
        for each in [*kept, *arrived]
        for name in (each.part.facts.agents if isinstance(each.part.facts, Contact) else ())
    }
    people = await roster.load_roster(session, source.slug, names)
    versions = LegVersionCollector(session, documents, source)
    result = MergeResult(versions, roots)
    heads: dict[str, dict[int, LegHead]] = {}
    for head in there.heads:
        heads.setdefault(head.root, {})[head.leg] = head
    for root, found in groups.items():
        merged = merge(
            (each.part for each in found),
            people.agent_of,
            people.day_of,
            open_without_end=source.format.open_without_end,
        )
        versions.collect_changed(root, merged, _modes(found), heads.get(root, {}))
        for held in merged.held:
            result.held[held.contact] = held
    await versions.void_vanished()
    if dry_run:
        return result
    moved = {each.part.contact: roots[each.part.contact] for each in kept if each.root != roots[each.part.contact]}
    await interactions.remove_parts(session, [each for each in leaving if each in stored])
    await interactions.move_parts(session, source.slug, moved)
    begun = [
        {"id": versions.id_of(root), "root": root} for root, found in groups.items() if found and root not in heads
    ]
    inserts.add(interactions.INTERACTIONS, begun)
    inserts.add(interactions.PARTS, [_part_row(roots, each) for each in adding if each.is_new])
    versions.write_to(inserts, extra_documents)
    before = {row.contact: row for row in there.held if row.root in affected}
    await _reconcile_held(session, source.slug, inserts, before, roots, result.held)
    return result


def _modes(found: list[_Stored]) -> dict[str, str]:
    """By contact, the mode in which the contact record that counts came."""
    modes = {id(each.part): each.mode for each in found}
    return {
        contact: modes[id(kinds["contact"])]
        for contact, kinds in newest_parts(each.part for each in found).items()
        if "contact" in kinds
    }


def _decode_stored_part(row: PartRow) -> _Stored:
    facts = _FACTS.get(row.kind, _MOMENT).decode(row.facts)
    part = Part(kind=row.kind, contact=row.contact, facts=facts, initial=row.initial, stamp=row.stamp)
    return _Stored(part, row.root, row.mode, row.hash, row.id, str(row.receipt_id))


def _classify_arrivals(
    adding: Sequence[Arrival], stored: dict[UUID, _Stored], removed_ids: set[UUID], *, has_no_stamps: bool
) -> list[_Stored]:
    """Decides on the standing of each arrival, and returns those that are new, in order. A part that would be removed
    and arrives again stays."""
    same = {(each.part.contact, each.part.kind, each.hash): each.id for each in stored.values()}
    stamps: dict[tuple[str, str], int] = {}
    for each in stored.values():
        if each.id not in removed_ids:
            place = (each.part.contact, each.part.kind)
            stamps[place] = max(stamps.get(place, 0), each.part.stamp or 0)
    there_now: dict[str, list[_Stored]] = {}
    for each in stored.values() if has_no_stamps else ():
        if each.id not in removed_ids:
            there_now.setdefault(each.part.contact, []).append(each)
    new: list[_Stored] = []
    for arrival in adding:
        part = arrival.part
        place = (part.contact, part.kind)
        there = same.get((*place, arrival.hash))
        arrival.is_new = there is None
        if there is not None:
            arrival.classification = "first" if there in removed_ids else "repeated"
            arrival.id = there
            removed_ids.discard(there)
            stamps[place] = max(stamps.get(place, 0), part.stamp or 0)
            continue
        if has_no_stamps and any(_is_other_part(arrival, each) for each in there_now.get(part.contact, ())):
            arrival.classification, arrival.is_new = "another", False
            continue
        if place not in stamps:
            arrival.classification = "first"
        else:
            arrival.classification = "newer" if (part.stamp or 0) >= stamps[place] else "older"
        stamps[place] = max(stamps.get(place, 0), part.stamp or 0)
        same[(*place, arrival.hash)] = arrival.id
        new.append(_Stored(part, part.contact, arrival.mode, arrival.hash, arrival.id, arrival.receipt))
        if has_no_stamps:
            there_now.setdefault(part.contact, []).append(new[-1])
    return new


def _is_other_part(arrival: Arrival, there: _Stored) -> bool:
    """Whether a record tells of another part of a call than the one that is there: with another start and another agent,
    in the same body with either. A correction keeps one of them, and a body does not correct itself."""
    one, two = arrival.part.facts, there.part.facts
    if not isinstance(one, Contact) or not isinstance(two, Contact):
        return False
    begins = one.started != two.started
    somebody_else = bool(one.agents and two.agents) and one.agents != two.agents
    return begins or somebody_else if arrival.receipt == there.receipt else begins and somebody_else


def _part_row(roots: dict[str, str], arrival: Arrival) -> dict[str, Any]:
    part = arrival.part
    return {
        "id": arrival.id,
        "root": roots[part.contact],
        "contact": part.contact,
        "kind": part.kind,
        "hash": arrival.hash,
        "stamp": part.stamp,
        "initial": part.initial,
        "facts": part.facts,
        "mode": arrival.mode,
        "document": arrival.document,
        "position": arrival.position,
    }


async def _reconcile_held(
    session: Session,
    source: str,
    batch: MultiInsert,
    before: dict[str, HeldRow],
    roots: dict[str, str],
    held: dict[str, Held],
) -> None:
    gone = [contact for contact in before if contact not in held]
    await interactions.delete_held(session, source, gone)
    await receipts.accept_held(session, source, [contact for contact in gone if contact in roots])
    new = []
    for contact, each in held.items():
        row = before.get(contact)
        if row is None or (row.root, row.reason, row.waits_for) != (roots[contact], each.reason, each.waits_for):
            place = {"contact": contact, "root": roots[contact]}
            new.append({**place, "reason": each.reason, "waits_for": each.waits_for})
    batch.add(interactions.HELD, new)
