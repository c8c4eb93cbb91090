"""Merging the parts of an interaction into canonical legs, and what holds them back."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal
from uuid import UUID

from msgspec import Struct

from ingest.model.parts import Analysis, Contact, Moment, Part

HoldReason = Literal["unknown_agent", "open_interaction", "waiting_for_part"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Agent(Struct, frozen=True):
    """A person of the directory at the time of a leg: `zone` and `day_start_minutes` of the site's workday."""

    id: UUID
    zone: tzinfo
    day_start_minutes: int = 0


class Site(Struct, frozen=True):
    """The tenant's own zone and start of day, for legs without agent."""

    zone: tzinfo
    day_start_minutes: int = 0


class Leg(Struct, omit_defaults=True, kw_only=True):
    """The canonical content of a leg: everything that an event says of it but version, void and mode."""

    external_id: str
    started: int
    ended: int | None = None
    workday: date
    channel: str
    direction: str | None = None
    agent_id: UUID | None = None
    agent_external_id: str | None = None
    queue: str | None = None
    reason: str | None = None
    attributes: dict[str, str] = {}
    first_leg: bool = True
    last_leg: bool = True
    ring_ms: int | None = None
    queue_ms: int | None = None
    talk_ms: int | None = None
    hold_ms: int | None = None
    acw_ms: int | None = None
    handle_ms: int | None = None
    conversation_ms: int | None = None
    silence_vendor_ms: int | None = None
    overtalk_ms: int | None = None
    gaps: list[tuple[int, int]] | None = None
    interruptions: int | None = None
    transfers: int | None = None
    answered: bool | None = None
    abandoned: bool | None = None
    transferred: bool | None = None
    csat: int | None = None
    nps: int | None = None
    qa_score: int | None = None
    sentiment: int | None = None
    customer_key: str | None = None


class Held(Struct, frozen=True):
    """Why a contact has no effect yet: `waits_for` are the agent's names, or the kind of part that is missing."""

    contact: str
    reason: HoldReason
    waits_for: list[str]


class Interaction(Struct):
    """`legs[n]` is leg n + 1, or why that leg is held; `held` are contacts that do not count as legs yet."""

    legs: list[Leg | Held]
    held: list[Held]


Directory = Callable[[list[str], int], Agent | None]


def workday(ms: int, zone: tzinfo, day_start_minutes: int = 0) -> date:
    """The working day that an instant belongs to: the local date, which begins `day_start_minutes` after midnight."""
    local = datetime.fromtimestamp(ms // 1000, zone)
    # Time of a zone minus a duration is by the clock on its wall.
    return (local - timedelta(minutes=day_start_minutes) if day_start_minutes else local).date()


def newest(parts: Iterable[Part]) -> dict[str, dict[str, Part]]:
    """Contact → kind → the part that counts: the greatest stamp, and of equal ones the one that came last."""
    found: dict[str, dict[str, Part]] = {}
    for part in parts:
        kinds = found.setdefault(part.contact, {})
        now = kinds.get(part.kind)
        if now is None or (part.stamp or 0) >= (now.stamp or 0):
            kinds[part.kind] = part
    return found


def root_of(contact: str, kinds: dict[str, Part]) -> str:
    """The contact that an interaction began with, as the contact record says, else an event, else the contact itself."""
    record = kinds.get("contact")
    for part in [record] if record else kinds.values():
        if part.initial:
            return part.initial
    return contact


def merge(parts: Iterable[Part], agent_of: Directory, site: Site, *, open_without_end: bool) -> Interaction:
    """The canonical legs of one interaction from all its parts, in order of arrival.

    A leg is a contact whose record is final; they are numbered by initiation. `open_without_end`: a record without end
    is of an interaction that still goes on (where the vendor writes one for every finished contact).
    """
    contacts = newest(parts)
    legs: list[tuple[int, str, Contact, Analysis | None]] = []
    held: list[Held] = []
    for contact, kinds in contacts.items():
        record = kinds.get("contact")
        if record is None:
            held.append(_without_record(contact, kinds))
        elif open_without_end and record.facts.ended is None:  # type: ignore[union-attr]
            held.append(Held(contact, "open_interaction", ["contact"]))
        else:
            analysis = kinds.get("analysis")
            legs.append((record.facts.started, contact, record.facts, analysis and analysis.facts))  # type: ignore[arg-type,union-attr]
    legs.sort(key=lambda leg: leg[:2])
    transferred_from = {facts.previous for _, _, facts, _ in legs if facts.by_transfer and facts.previous}
    result: list[Leg | Held] = []
    for number, (_, contact, facts, analysis) in enumerate(legs):
        agent = agent_of(facts.agents, facts.started) if facts.agents else None
        if facts.agents and agent is None:
            result.append(Held(contact, "unknown_agent", facts.agents))
            continue
        leg = _leg(contact, facts, analysis, agent, site)
        leg.first_leg = number == 0
        leg.last_leg = number == len(legs) - 1
        leg.direction = facts.direction or legs[0][2].direction
        if contact in transferred_from and not leg.transferred:
            leg.transferred, leg.transfers = True, max(leg.transfers or 0, 1)
        result.append(leg)
    return Interaction(result, held)


def _without_record(contact: str, kinds: dict[str, Part]) -> Held:
    moments = [part.facts for part in kinds.values() if isinstance(part.facts, Moment)]
    if moments and not any(moment.ended is not None or moment.event == "DISCONNECTED" for moment in moments):
        return Held(contact, "open_interaction", ["contact"])
    return Held(contact, "waiting_for_part", ["contact"])


def _leg(contact: str, facts: Contact, analysis: Analysis | None, agent: Agent | None, site: Site) -> Leg:
    where = agent or site
    leg = Leg(
        external_id=contact,
        started=facts.started,
        ended=facts.ended,
        workday=workday(facts.started, where.zone, where.day_start_minutes),
        channel=facts.channel,
        agent_id=agent.id if agent else None,
        agent_external_id=facts.agents[0] if facts.agents else None,
        queue=facts.queue,
        reason=facts.reason,
        attributes=facts.attributes,
        ring_ms=facts.ring_ms,
        queue_ms=facts.queue_ms,
        talk_ms=facts.talk_ms,
        hold_ms=facts.hold_ms,
        acw_ms=facts.acw_ms,
        handle_ms=facts.handle_ms,
        conversation_ms=facts.conversation_ms,
        silence_vendor_ms=facts.silence_vendor_ms,
        overtalk_ms=facts.overtalk_ms,
        interruptions=facts.interruptions,
        transfers=facts.transfers,
        answered=facts.answered,
        abandoned=facts.abandoned,
        transferred=facts.transferred,
        csat=facts.csat,
        nps=facts.nps,
        qa_score=facts.qa_score,
        sentiment=facts.sentiment,
        customer_key=facts.customer_key,
    )
    if leg.conversation_ms is None and leg.answered and leg.talk_ms is not None and leg.hold_ms is not None:
        leg.conversation_ms = leg.talk_ms + leg.hold_ms
    if leg.talk_ms is not None and leg.hold_ms is not None and leg.acw_ms is not None:
        leg.handle_ms = leg.talk_ms + leg.hold_ms + leg.acw_ms
    if analysis:
        leg.gaps = analysis.gaps
        for name in ("conversation_ms", "silence_vendor_ms", "overtalk_ms", "interruptions", "sentiment"):
            value = getattr(analysis, name)
            if value is not None:
                setattr(leg, name, value)
    return leg
