"""Adding and removing parts: legs that change get new versions, and contacts that must wait are held.

In three steps: `load_interactions` locks and loads the affected interactions, `derive_interactions` merges their parts
without I/O, and `write_changes` stores what differs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions.versions import LegVersionCollector
from ingest.model.arrivals import Arrival, StoredPart, classify_arrivals
from ingest.model.canonical import Held, Interaction, merge, root_of, select_newest_parts
from ingest.model.parts import Analysis, Contact, ContactEvent, Part
from ingest.model.roster import Roster
from ingest.model.sources import Source
from ingest.store import held_contacts, interactions, locks, records, roster
from ingest.store.held_contacts import HeldRow
from ingest.store.interactions import InsertPart, LegHead, PartRow

_FACTS = {"contact": msgspec.json.Decoder(Contact), "analysis": msgspec.json.Decoder(Analysis)}
_EVENT_FACTS = msgspec.json.Decoder(ContactEvent)


@dataclass
class MergeResult:
    """The new versions, the root of each contact's interaction, and the held contacts, by contact."""

    versions: LegVersionCollector
    root_of: dict[str, str]
    held: dict[str, Held] = field(default_factory=dict[str, Held])


@dataclass(frozen=True)
class LoadedInteractions:
    """Locked interactions, as they are stored and as they will be grouped.

    `groups`: root → all parts of the interaction, in order of arrival. `root_of`: contact → root of its interaction after
    the merge. `remaining`: stored parts that stay; `removed_ids`: those to delete. `heads`: root → number → current version
    of the leg. `held`: contact → what the store holds of it. `people`: whom the agents' names may mean.
    """

    groups: dict[str, list[StoredPart]]
    root_of: dict[str, str]
    remaining: list[StoredPart]
    removed_ids: list[UUID]
    heads: dict[str, dict[int, LegHead]]
    held: dict[str, HeldRow]
    people: Roster


@dataclass(frozen=True)
class DerivedInteraction:
    """The legs derived from an interaction's parts. `modes`: contact → mode in which its contact record arrived."""

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
    """Adds and removes parts, and derives the affected interactions again.

    `rederive`: contacts and roots whose interactions are derived again even if no part of theirs changes; it must include
    those of the parts in `removing`. New rows are added to `inserts`, which the caller writes. `extra_documents` are written
    together with the contents of the new versions. With `dry_run` nothing is written.
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
    """Locks and loads the interactions of these contacts, and classifies the arrivals.

    If a contact turns out to belong to an interaction that is not locked yet, that one is locked too and all are loaded
    again, until none is missing.
    """
    wanted = set(rederive)
    for arrival in adding:
        wanted.add(arrival.part.contact)
        if arrival.part.initial:
            wanted.add(arrival.part.initial)
    locked: set[str] = set()
    while True:
        await locks.lock_contacts(session, source.slug, wanted - locked)
        locked |= wanted
        related = await interactions.load_related(session, source.slug, list(wanted))
        stored = [_decode_stored_part(row) for row in related.parts]
        has_no_stamps = source.format.unstamped_id_column is not None
        arrived = classify_arrivals(adding, stored, set(removing), has_no_stamps=has_no_stamps)
        remaining = [each for each in stored if each.id not in arrived.removed_ids]
        by_contact = _group_by_contact([*remaining, *arrived.new])
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
        remaining=remaining,
        removed_ids=[each for each in arrived.removed_ids if each in stored_ids],
        heads=heads,
        held={row.contact: row for row in related.held if row.root in groups},
        people=await roster.load_roster(session, source.slug, _agent_names([*remaining, *arrived.new])),
    )


def derive_interactions(loaded: LoadedInteractions, *, open_without_end: bool) -> dict[str, DerivedInteraction]:
    """Root → the legs derived from all parts of the interaction. `open_without_end`: as in `canonical.merge`."""
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
    """Deletes and moves parts at once; adds new interactions, parts, versions and held contacts to `inserts`."""
    roots, versions = loaded.root_of, result.versions
    moved = {
        each.part.contact: roots[each.part.contact]
        for each in loaded.remaining
        if each.root != roots[each.part.contact]
    }
    await interactions.delete_parts(session, loaded.removed_ids)
    await interactions.move_parts(session, source, moved)
    new: list[interactions.InsertInteraction] = [
        {"id": versions.id_of(root), "root": root}
        for root, parts in loaded.groups.items()
        if parts and root not in loaded.heads
    ]
    inserts.add(interactions.INTERACTIONS, new)
    inserts.add(interactions.PARTS, [_insert_part(roots, each) for each in adding if each.is_new])
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
    """Contact → mode in which its newest contact record arrived."""
    modes = {id(each.part): each.mode for each in parts}
    newest = select_newest_parts(each.part for each in parts)
    return {contact: modes[id(kinds["contact"])] for contact, kinds in newest.items() if "contact" in kinds}


def _insert_part(roots: dict[str, str], arrival: Arrival) -> InsertPart:
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
    """Deletes contacts that are no longer held, and accepts their records; adds contacts that are newly held, or held for
    another reason."""
    roots = loaded.root_of
    gone = [contact for contact in loaded.held if contact not in held]
    await held_contacts.delete_held(session, source, gone)
    await records.accept_held(session, source, [contact for contact in gone if contact in roots])
    rows = {contact: HeldRow(contact, roots[contact], each.reason, each.waits_for) for contact, each in held.items()}
    new = [row for contact, row in rows.items() if row != loaded.held.get(contact)]
    held_contacts.add_held(inserts, new)
