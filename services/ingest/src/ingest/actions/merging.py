"""Parts are added and removed; the legs that follow from them get new versions, and what must wait is held.

In three steps: `load_interactions` locks and loads the interactions concerned, `derive_interactions` merges their parts
without any I/O, and `write_changes` stores what differs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions.versions import LegVersionCollector
from ingest.model.arrivals import Arrival, StoredPart, classify_arrivals
from ingest.model.canonical import Held, Interaction, merge, root_of, select_newest_parts
from ingest.model.parts import Analysis, Contact, ContactEvent, Part
from ingest.model.roster import Roster
from ingest.model.sources import Source
from ingest.store import interactions, receipts, roster
from ingest.store.interactions import HeldRow, LegHead, PartRow

_FACTS = {"contact": msgspec.json.Decoder(Contact), "analysis": msgspec.json.Decoder(Analysis)}
_EVENT_FACTS = msgspec.json.Decoder(ContactEvent)


@dataclass
class MergeResult:
    """What came of a merge: the new versions, the interaction of each contact, and by contact what is held."""

    versions: LegVersionCollector
    root_of: dict[str, str]
    held: dict[str, Held] = field(default_factory=dict[str, Held])


@dataclass(frozen=True)
class LoadedInteractions:
    """Interactions that are locked, as they are stored and as they will be grouped.

    `groups`: by root, all parts of an interaction, in order of arrival. `root_of`: by contact, the interaction that it belongs to now.
    `kept` are the stored parts that stay, `removed_ids` those that go. `heads`: by root and number, the current versions of
    legs. `held`: by contact, what is held in the store. `people` are those whom the agents' names may mean.
    """

    groups: dict[str, list[StoredPart]]
    root_of: dict[str, str]
    kept: list[StoredPart]
    removed_ids: list[UUID]
    heads: dict[str, dict[int, LegHead]]
    held: dict[str, HeldRow]
    people: Roster


@dataclass(frozen=True)
class DerivedInteraction:
    """The legs that follow from an interaction's parts. `modes`: by contact, the mode in which its contact record came."""

    interaction: Interaction
    modes: dict[str, str]


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

    `rederive`: contacts or roots whose interactions are derived again though their parts stay as they are; those of the
    parts in `removing` must be among them. New rows are put into `inserts`, which the caller writes; `extra_documents` are
    written together with the contents of the new versions. With `dry_run` nothing is written.
    """
    loaded = await load_interactions(session, source, adding, frozenset(removing), frozenset(rederive))
    derived = derive_interactions(loaded, open_without_end=source.format.open_without_end)
    versions = LegVersionCollector(session, documents, source)
    for root, each in derived.items():
        versions.collect_changed(root, each.interaction, each.modes, loaded.heads.get(root, {}))
    await versions.void_vanished()
    held = {one.contact: one for each in derived.values() for one in each.interaction.held}
    result = MergeResult(versions, loaded.root_of, held)
    if not dry_run:
        await write_changes(session, source.slug, loaded, adding, result, extra_documents, inserts)
    return result


async def load_interactions(
    session: Session, source: Source, adding: Sequence[Arrival], removing: frozenset[UUID], rederive: frozenset[str]
) -> LoadedInteractions:
    """Locks and loads the interactions that these contacts belong to, and classifies the arrivals.

    A contact may turn out to belong to an interaction that is not locked yet: then that one is locked too, and all are
    loaded again, until none is missing.
    """
    wanted = set(rederive)
    for arrival in adding:
        wanted.add(arrival.part.contact)
        if arrival.part.initial:
            wanted.add(arrival.part.initial)
    locked: set[str] = set()
    while True:
        await interactions.lock_contacts(session, source.slug, wanted - locked)
        locked |= wanted
        related = await interactions.load_related(session, source.slug, list(wanted))
        stored = [_decode_stored_part(row) for row in related.parts]
        has_no_stamps = source.format.unstamped_id_column is not None
        arrived = classify_arrivals(adding, stored, set(removing), has_no_stamps=has_no_stamps)
        kept = [each for each in stored if each.id not in arrived.removed_ids]
        by_contact = _group_by_contact([*kept, *arrived.new])
        root_of_contact = {contact: _find_root(contact, parts) for contact, parts in by_contact.items()}
        touched = {*root_of_contact.values(), *(each.root for each in stored)}
        if touched <= wanted:
            break
        wanted |= touched
    groups: dict[str, list[StoredPart]] = {root: [] for root in sorted(touched | rederive)}
    for contact, parts in by_contact.items():
        groups[root_of_contact[contact]].extend(parts)
    heads: dict[str, dict[int, LegHead]] = {}
    for head in related.heads:
        heads.setdefault(head.root, {})[head.leg] = head
    stored_ids = {each.id for each in stored}
    return LoadedInteractions(
        groups=groups,
        root_of=root_of_contact,
        kept=kept,
        removed_ids=[each for each in arrived.removed_ids if each in stored_ids],
        heads=heads,
        held={row.contact: row for row in related.held if row.root in groups},
        people=await roster.load_roster(session, source.slug, _agent_names([*kept, *arrived.new])),
    )


def derive_interactions(loaded: LoadedInteractions, *, open_without_end: bool) -> dict[str, DerivedInteraction]:
    """By root, the legs that follow from all parts of each interaction. `open_without_end`: as of `canonical.merge`."""
    people = loaded.people
    return {
        root: DerivedInteraction(
            merge((each.part for each in parts), people.agent_of, people.day_of, open_without_end=open_without_end),
            _modes(parts),
        )
        for root, parts in loaded.groups.items()
    }


async def write_changes(
    session: Session,
    source: str,
    loaded: LoadedInteractions,
    adding: Sequence[Arrival],
    result: MergeResult,
    extra_documents: Sequence[Document],
    inserts: MultiInsert,
) -> None:
    """Removes and moves parts at once; puts new interactions, parts, versions and held contacts into `inserts`."""
    roots, versions = loaded.root_of, result.versions
    moved = {
        each.part.contact: roots[each.part.contact] for each in loaded.kept if each.root != roots[each.part.contact]
    }
    await interactions.remove_parts(session, loaded.removed_ids)
    await interactions.move_parts(session, source, moved)
    begun = [root for root, parts in loaded.groups.items() if parts and root not in loaded.heads]
    inserts.add(interactions.INTERACTIONS, [{"id": versions.id_of(root), "root": root} for root in begun])
    inserts.add(interactions.PARTS, [_new_part(roots, each) for each in adding if each.is_new])
    versions.write_to(inserts, extra_documents)
    await _reconcile_held(session, source, loaded, result.held, inserts)


def _decode_stored_part(row: PartRow) -> StoredPart:
    facts = _FACTS.get(row.kind, _EVENT_FACTS).decode(row.facts)
    part = Part(kind=row.kind, contact=row.contact, facts=facts, initial=row.initial, stamp=row.stamp)
    return StoredPart(part, row.root, row.mode, row.hash, row.id, str(row.receipt_id))


def _group_by_contact(parts: Iterable[StoredPart]) -> dict[str, list[StoredPart]]:
    found: dict[str, list[StoredPart]] = {}
    for each in parts:
        found.setdefault(each.part.contact, []).append(each)
    return found


def _find_root(contact: str, parts: Iterable[StoredPart]) -> str:
    return root_of(contact, select_newest_parts(each.part for each in parts)[contact])


def _agent_names(parts: Iterable[StoredPart]) -> set[str]:
    return {name for each in parts if isinstance(each.part.facts, Contact) for name in each.part.facts.agents}


def _modes(parts: Sequence[StoredPart]) -> dict[str, str]:
    """By contact, the mode in which the contact record that counts came."""
    modes = {id(each.part): each.mode for each in parts}
    newest = select_newest_parts(each.part for each in parts)
    return {contact: modes[id(kinds["contact"])] for contact, kinds in newest.items() if "contact" in kinds}


def _new_part(roots: dict[str, str], arrival: Arrival) -> dict[str, Any]:
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
    session: Session, source: str, loaded: LoadedInteractions, held: dict[str, Held], inserts: MultiInsert
) -> None:
    """Forgets what is held no more, whose records are accepted now, and adds what is held anew or for another reason."""
    roots = loaded.root_of
    gone = [contact for contact in loaded.held if contact not in held]
    await interactions.delete_held(session, source, gone)
    await receipts.accept_held(session, source, [contact for contact in gone if contact in roots])
    rows = {contact: HeldRow(contact, roots[contact], each.reason, each.waits_for) for contact, each in held.items()}
    new = [row for contact, row in rows.items() if row != loaded.held.get(contact)]
    inserts.add(interactions.HELD, [msgspec.structs.asdict(row) for row in new])
