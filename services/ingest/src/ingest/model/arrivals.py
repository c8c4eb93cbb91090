"""How a part that comes in relates to the stored parts of its kind: first, newer, older, repeated, or another part of the call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal
from uuid import UUID

import msgspec
from contracts import Mode, new_id

from ingest.model.parts import Contact, Part

encode_sorted = msgspec.json.Encoder(order="sorted").encode
"""JSON with sorted names: equal content has equal bytes."""

Classification = Literal["first", "newer", "older", "repeated", "another"]
"""`another`: it seems to describe another part of the call than the stored one, and not to correct it."""

_Kind = tuple[str, str]
"""The contact and the kind of a part."""


def hash_content(content: bytes) -> UUID:
    """128 bits of BLAKE2b, as a UUID."""
    return UUID(bytes=blake2b(content, digest_size=16).digest())


@dataclass(slots=True)
class Arrival:
    """A part that came in. `classify_arrivals` sets how it relates to the stored parts of its kind, and whether it `is_new`:
    not stored yet, and to be stored."""

    part: Part
    mode: Mode
    document: str
    position: int
    id: UUID = field(default_factory=new_id)
    hash: UUID = field(init=False)
    classification: Classification = "first"
    is_new: bool = True

    def __post_init__(self) -> None:
        self.hash = hash_content(encode_sorted(self.part))

    @property
    def receipt(self) -> str:
        """The id of the receipt, with which the document's id begins."""
        return self.document[:36]


@dataclass(slots=True)
class StoredPart:
    """A part in the store, or one that is about to be. `root` is the interaction that it belongs to in the store."""

    part: Part
    root: str
    mode: str
    hash: UUID
    id: UUID
    receipt: str


@dataclass(frozen=True)
class ClassifiedArrivals:
    """`new`: parts to store, in order of arrival. `removed_ids`: parts to remove, without those that arrived again."""

    new: list[StoredPart]
    removed_ids: set[UUID]


def classify_arrivals(
    arrivals: Sequence[Arrival], stored: Sequence[StoredPart], removed_ids: set[UUID], *, has_no_stamps: bool
) -> ClassifiedArrivals:
    """Sets the classification, `is_new` and the id of each arrival. A part that would be removed and arrives again stays.

    `has_no_stamps`: records do not say when they were written, so that one with another agent and another start is taken
    for another part of the call.
    """
    leaving = set(removed_ids)
    ids = {(each.part.contact, each.part.kind, each.hash): each.id for each in stored}
    newest: dict[_Kind, int] = {}
    by_contact: dict[str, list[StoredPart]] = {}
    for each in stored:
        if each.id not in leaving:
            _raise_stamp(newest, each.part)
            by_contact.setdefault(each.part.contact, []).append(each)
    new: list[StoredPart] = []
    for arrival in arrivals:
        part = arrival.part
        kind = (part.contact, part.kind)
        known_id = ids.get((*kind, arrival.hash))
        arrival.is_new = known_id is None
        if known_id is not None:
            arrival.classification = "first" if known_id in leaving else "repeated"
            arrival.id = known_id
            leaving.discard(known_id)
        elif has_no_stamps and any(_is_other_part(arrival, each) for each in by_contact.get(part.contact, ())):
            arrival.classification, arrival.is_new = "another", False
            continue
        else:
            if kind not in newest:
                arrival.classification = "first"
            else:
                arrival.classification = "newer" if (part.stamp or 0) >= newest[kind] else "older"
            ids[(*kind, arrival.hash)] = arrival.id
            new.append(StoredPart(part, part.contact, arrival.mode, arrival.hash, arrival.id, arrival.receipt))
            by_contact.setdefault(part.contact, []).append(new[-1])
        _raise_stamp(newest, part)
    return ClassifiedArrivals(new, leaving)


def _raise_stamp(newest: dict[_Kind, int], part: Part) -> None:
    kind = (part.contact, part.kind)
    newest[kind] = max(newest.get(kind, 0), part.stamp or 0)


def _is_other_part(arrival: Arrival, there: StoredPart) -> bool:
    """Whether a record describes another part of a call than a stored one: with another start and another agent, within
    one body with either of them. A correction keeps one of the two, and a body does not correct itself."""
    one, two = arrival.part.facts, there.part.facts
    if not isinstance(one, Contact) or not isinstance(two, Contact):
        return False
    other_start = one.started != two.started
    other_agent = bool(one.agents and two.agents) and one.agents != two.agents
    return other_start or other_agent if arrival.receipt == there.receipt else other_start and other_agent
