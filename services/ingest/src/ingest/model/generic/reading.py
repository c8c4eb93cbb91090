"""A record of a generic source becomes a contact."""

from collections.abc import Iterator
from typing import Any

from ingest.model import fields as checks
from ingest.model.fields import Reading, agree, fits, in_order
from ingest.model.generic.mapping import Mapping
from ingest.model.generic.row import Ambiguous, Row
from ingest.model.parts import Contact, Part
from ingest.model.refusal import Refusal

_TRIES = 64


def read(record: dict[str, Any], reading: Reading, mapping: Mapping) -> Part:
    """The part that a record is. Raises Refusal with the name of the column."""
    row = Row(record, mapping, reading)
    try:
        facts = _facts(row, reading, mapping)
    except Ambiguous as ambiguous:
        facts = _decided(row, reading, mapping, ambiguous)
    try:
        updated = row.instant("updated")
    except Ambiguous as ambiguous:
        updated = max(ambiguous.instants)
    return Part(
        kind="contact", contact=row.required("contact"), initial=row.text("initial"), stamp=updated, facts=facts
    )


def _facts(row: Row, reading: Reading, mapping: Mapping) -> Contact:
    started = row.instant("started")
    if started is None:
        raise Refusal(_column(mapping, "started"), "It is missing.", "Send it with every record.")
    ended = row.instant("ended")
    in_order(started, ended, _column(mapping, "ended"), _column(mapping, "started"))
    agent, previous, customer = row.text("agent"), row.text("previous"), row.text("customer")
    amounts: dict[str, Any] = {
        **{name: row.duration(name) for name in mapping.amounts["duration"]},
        **{name: row.count(name) for name in mapping.amounts["count"]},
        **{name: row.flag(name) for name in mapping.amounts["flag"]},
        **{name: row.score(name) for name in mapping.amounts["score"]},
    }
    facts = Contact(
        started=started,
        ended=ended,
        channel=row.required("channel"),
        direction=row.text("direction"),
        previous=previous,
        by_transfer=previous is not None,
        agents=[agent] if agent else [],
        queue=row.text("queue"),
        reason=row.text("reason"),
        attributes=row.attributes(),
        customer_key=reading.customer_key(customer) if customer else None,
        gaps=row.gaps(),
        **amounts,
    )
    _complete(facts, mapping)
    return facts


def _column(mapping: Mapping, name: str) -> str:
    entry = mapping.fields.get(name)
    return (entry and entry.column) or name


def _complete(facts: Contact, mapping: Mapping) -> None:
    """Check the durations against each other, and add those that follow from the rest."""
    talk, hold, acw = facts.talk_ms, facts.hold_ms, facts.acw_ms
    available = None if facts.ended is None else facts.ended - facts.started
    try:
        fits(talk, hold, available, _column(mapping, "talk_ms"))
    except Refusal as refusal:
        refusal.cure = (
            "Check the durations. If the talk time holds the hold time, say `less: [hold_ms]` in the mapping."
        )
        raise
    silence, conversation = facts.silence_vendor_ms, facts.conversation_ms
    if silence is not None and conversation is not None and silence > conversation:
        raise Refusal(_column(mapping, "silence_vendor_ms"), "It is longer than the conversation.", "Check the units.")
    if facts.gaps and conversation is not None and facts.gaps[-1][1] > conversation + checks.ROUNDING_MS:
        raise Refusal(_column(mapping, "gaps"), "A stretch ends after the conversation.", "Check the units.")
    if talk is not None and hold is not None and acw is not None and facts.handle_ms is not None:
        agree(facts.handle_ms, talk + hold + acw, _column(mapping, "handle_ms"), "talk + hold + after-call work")
    if facts.answered is None:
        facts.answered = _answered(facts, mapping)
    if facts.answered and facts.abandoned:
        raise Refusal(_column(mapping, "abandoned"), "The call is both answered and abandoned.", "Check the mapping.")


def _answered(facts: Contact, mapping: Mapping) -> bool | None:
    """Where no column says it: an agent who had the customer in talk or on hold answered. An agent's name alone says so
    only where the mapping has none of these figures; a figure of 0 is a call that rang and was not picked up."""
    if facts.abandoned:
        return False
    if not facts.agents:
        return None
    figures = ("talk_ms", "hold_ms", "conversation_ms", "handle_ms")
    if not any(name in mapping.fields for name in figures):
        return True
    known = [value for name in figures if (value := getattr(facts, name)) is not None]
    return any(known) if known else None


# The hour that a zone has twice in autumn


def _decided(row: Row, reading: Reading, mapping: Mapping, first: Ambiguous) -> Contact:
    """What the row says when each time that may be either of two instants is one of them: the order of the times and the
    durations decide. Where they do not, the contact says so in `unsure`. Raises Refusal where nothing is possible."""
    possible: list[Contact] = []
    refusals: list[Refusal] = []
    open_choices: list[dict[str, int]] = [{}]
    tries = 0
    while open_choices and tries < _TRIES:
        tries += 1
        row.chosen = open_choices.pop()
        try:
            facts = _facts(row, reading, mapping)
        except Ambiguous as ambiguous:
            open_choices += [{**row.chosen, ambiguous.column: at} for at in reversed(ambiguous.instants)]
        except Refusal as refusal:
            refusals.append(refusal)
        else:
            if facts not in possible:
                possible.append(facts)
    if not possible:
        raise refusals[0]
    explained = [facts for facts in possible if _explained(facts)]
    if len(explained) == 1:
        return explained[0]
    facts = possible[0]
    if len(possible) > 1 or open_choices:
        facts.unsure = first.column
    return facts


def _explained(facts: Contact) -> bool:
    """Whether the durations of the row make up the time from its start to its end."""
    if facts.ended is None:
        return False
    return any(abs(facts.ended - facts.started - total) <= checks.ROUNDING_MS for total in _totals(facts))


def _totals(facts: Contact) -> Iterator[int]:
    talked = (facts.talk_ms or 0) + (facts.hold_ms or 0)
    for whole in (talked, facts.conversation_ms or 0, facts.handle_ms or 0):
        if whole:
            for before in (0, facts.ring_ms or 0, facts.queue_ms or 0, (facts.ring_ms or 0) + (facts.queue_ms or 0)):
                yield whole + before
                yield whole + before + (facts.acw_ms or 0)
