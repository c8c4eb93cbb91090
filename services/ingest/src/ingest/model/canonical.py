"""Merges the parts of an interaction into canonical legs, and determines which contacts are held."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from ingest.model.leg_fields import SPEECH_FIELDS, LegFields, get_optional_leg_fields
from ingest.model.parts import Analysis, Contact, ContactEvent, Part

HoldReason = Literal["unknown_agent", "open_interaction", "waiting_for_part", "ambiguous_time"]
Relation = Literal["transfer", "consult", "conference"]
MIN_SPOKEN_MS = 2_000  # a party with less talk was not part of it: the vendors' figures are whole seconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Agent(Struct, frozen=True):
    """A person of the directory, and the person's workday of the time in question."""

    id: UUID
    workday: date


class Leg(LegFields, omit_defaults=True, kw_only=True):
    """The canonical content of a leg: all fields of its event except version, void and mode."""

    external_id: str
    workday: date
    agent_id: UUID | None = None
    agent_external_id: str | None = None
    first_leg: bool = True
    last_leg: bool = True
    relation: Relation | None = None
    held: HoldReason | None = None


class Held(Struct, frozen=True):
    """A contact without effect yet; with an unknown agent, it has effect where no agent is needed. `waits_for`: the agent's
    names, the kind of the missing part, or the column of a time that is one of two instants."""

    contact: str
    reason: HoldReason
    waits_for: list[str]


class Interaction(Struct):
    """The legs of an interaction: `legs[n]` is leg n + 1. `held`: contacts that are no legs yet, or whose agent is unknown."""

    legs: list[Leg]
    held: list[Held]


FindAgent = Callable[[list[str], int], Agent | None]
"""The person whom one of these names means at an instant, in milliseconds since 1970."""
FindWorkday = Callable[[int], date]
"""The tenant's workday of an instant, for legs without agent."""


def select_newest_parts(parts: Iterable[Part]) -> dict[str, dict[str, Part]]:
    """Contact → kind → the newest part: that with the greatest stamp; of equal stamps, the one that arrived last."""
    found: dict[str, dict[str, Part]] = {}
    for part in parts:
        kinds = found.setdefault(part.contact, {})
        now = kinds.get(part.kind)
        if now is None or (part.stamp or 0) >= (now.stamp or 0):
            kinds[part.kind] = part
    return found


def root_of(contact: str, kinds: dict[str, Part]) -> str:
    """The contact that an interaction began with: as the contact record names it, else an event, else the contact itself."""
    record = kinds.get("contact")
    for part in [record] if record else kinds.values():
        if part.initial:
            return part.initial
    return contact


def merge(parts: Iterable[Part], agent_of: FindAgent, day_of: FindWorkday, *, open_without_end: bool) -> Interaction:
    """The canonical legs of one interaction from all its parts, in order of arrival.

    A leg is a contact whose record is final. Legs are numbered in order of their start. `open_without_end`: a record without
    an end is of an interaction that lasts, because the vendor writes an end for each finished contact.

    While the first contact of a chain is missing or open, the earliest leg is the first one; the legs after it have the
    direction that a record or event of the first contact has, if there is one, else an unknown direction. Both are corrected
    when the first contact is final.
    """
    contacts = select_newest_parts(parts)
    legs: list[tuple[int, str, Contact, Analysis | None]] = []
    held: list[Held] = []
    known: dict[str, Contact] = {}
    before: dict[str, str] = {}
    after: dict[str, list[Contact]] = {}
    for contact, kinds in contacts.items():
        record = kinds.get("contact")
        if record is None:
            held.append(_without_record(contact, kinds))
            continue
        facts = record.facts
        assert isinstance(facts, Contact), "the facts of a part are of its kind"
        known[contact] = facts
        came_from = facts.previous or (record.initial if facts.by_transfer or facts.following else None)
        if came_from is not None and came_from != contact:
            after.setdefault(came_from, []).append(facts)
            before[contact] = came_from
        if facts.unsure is not None:
            held.append(Held(contact, "ambiguous_time", [facts.unsure]))
        elif open_without_end and facts.ended is None:
            held.append(Held(contact, "open_interaction", ["contact"]))
        else:
            part = kinds.get("analysis")
            analysis = part.facts if part else None
            assert analysis is None or isinstance(analysis, Analysis), "the facts of a part are of its kind"
            legs.append((facts.started, contact, facts, analysis))
    legs.sort(key=lambda leg: leg[:2])
    chained = len(contacts) > 1
    direction = _direction(contacts, known) if chained else None
    result: list[Leg] = []
    for number, (_, contact, facts, analysis) in enumerate(legs):
        agent = agent_of(facts.agents, facts.started) if facts.agents else None
        leg = _leg(contact, facts, analysis, agent, day_of)
        if facts.agents and agent is None:
            leg.held = "unknown_agent"
            held.append(Held(contact, "unknown_agent", facts.agents))
        leg.first_leg = number == 0
        leg.last_leg = number == len(legs) - 1
        leg.direction = facts.direction or direction
        if chained or facts.next:
            unseen = facts.next is not None and facts.next not in known
            _set_relations(leg, facts, known.get(before.get(contact, "")), after.get(contact, ()), unseen=unseen)
        result.append(leg)
    return Interaction(result, held)


def _direction(contacts: dict[str, dict[str, Part]], known: dict[str, Contact]) -> str | None:
    """The direction of the contact that began a chain; None: unknown."""
    first = min((each for each in known.values() if each.previous is None), key=lambda each: each.started, default=None)
    if first is not None:
        return first.direction
    for contact, kinds in contacts.items():
        for part in kinds.values():
            if isinstance(part.facts, ContactEvent) and part.facts.direction and part.initial in (None, contact):
                return part.facts.direction
    return None


def _set_relations(leg: Leg, facts: Contact, before: Contact | None, after: Sequence[Contact], *, unseen: bool) -> None:
    """Sets how the contact continued, and its relation to the contact `before`. `after`: the contacts that continue it;
    `unseen`: another one continues it, which has not arrived yet."""
    taken = sum(each.by_transfer and find_relation(facts, each) == "transfer" for each in after)
    if taken:
        leg.transferred, leg.transfers = True, max(leg.transfers or 0, taken)
    if before is not None and facts.by_transfer:
        leg.relation = find_relation(before, facts)
    if leg.abandoned:
        went_on = any(each.by_transfer or each.following for each in after)
        # In a consult or conference the customer did not wait for this agent: the agent who called kept the customer.
        leg.abandoned = not (went_on or unseen or leg.relation in ("consult", "conference"))


def find_relation(giver: Contact, taker: Contact) -> Relation:
    """The relation between a contact and a later one that its agent began.

    The rule is that of Amazon Connect, "Identify conferences and transfers by using contact records". It is a transfer if
    the first agent enters after-contact work before the second agent does, or before the outside party leaves. Otherwise
    the first agent took the customer back: it is a consult if the customer did not hear it (no time in the talk, or no more
    than the first agent's hold), and a conference if all spoke. If the customer had no agent yet, it is a transfer.
    """
    left = giver.left_at if giver.left_at is not None else giver.ended
    until = taker.left_at if taker.left_at is not None else taker.ended
    if not giver.agents or left is None or until is None or left < until:
        return "transfer"
    spoken = taker.outside_ms if taker.outside else taker.talk_ms
    if spoken is None or spoken < MIN_SPOKEN_MS or spoken <= (giver.hold_ms or 0):
        return "consult"
    return "conference"


def _without_record(contact: str, kinds: dict[str, Part]) -> Held:
    moments = [part.facts for part in kinds.values() if isinstance(part.facts, ContactEvent)]
    if moments and not any(moment.ended is not None or moment.event == "DISCONNECTED" for moment in moments):
        return Held(contact, "open_interaction", ["contact"])
    return Held(contact, "waiting_for_part", ["contact"])


def _leg(contact: str, facts: Contact, analysis: Analysis | None, agent: Agent | None, day_of: FindWorkday) -> Leg:
    leg = Leg(
        *get_optional_leg_fields(facts),
        started=facts.started,
        channel=facts.channel,
        external_id=contact,
        workday=agent.workday if agent else day_of(facts.started),
        agent_id=agent.id if agent else None,
        agent_external_id=facts.agents[0] if facts.agents else None,
    )
    if leg.conversation_ms is None and leg.answered and leg.talk_ms is not None and leg.hold_ms is not None:
        leg.conversation_ms = leg.talk_ms + leg.hold_ms
    if leg.talk_ms is not None and leg.hold_ms is not None and leg.acw_ms is not None:
        leg.handle_ms = leg.talk_ms + leg.hold_ms + leg.acw_ms
    if analysis:
        for name in SPEECH_FIELDS:
            value = getattr(analysis, name)
            if value is not None:
                setattr(leg, name, value)
    return leg
