"""Reads a record of a generic source as a contact."""

from collections.abc import Iterator
from typing import Any

from ingest.model import field_readers as checks
from ingest.model.field_readers import ReadContext, check_durations_agree, check_order, check_talk_fits
from ingest.model.generic.mapping import FieldMapping
from ingest.model.generic.row import AmbiguousTime, Row
from ingest.model.parts import Contact, Part
from ingest.model.refusal import Refusal

_MAX_TRIES = 64


def read(record: dict[str, Any], reading: ReadContext, mapping: FieldMapping) -> Part:
    """The part that a record is. Raises Refusal, which names the column."""
    row = Row(record, mapping, reading)
    try:
        facts = _facts(row, reading, mapping)
    except AmbiguousTime as ambiguous:
        facts = _resolve_ambiguous(row, reading, mapping, ambiguous)
    try:
        updated = row.instant("updated")
    except AmbiguousTime as ambiguous:
        updated = max(ambiguous.instants)
    return Part(
        kind="contact", contact=row.required("contact"), initial=row.text("initial"), stamp=updated, facts=facts
    )


def _facts(row: Row, reading: ReadContext, mapping: FieldMapping) -> Contact:
    started = row.instant("started")
    if started is None:
        raise Refusal(_column(mapping, "started"), "It is missing.", "Send it with every record.")
    ended = row.instant("ended")
    check_order(started, ended, _column(mapping, "ended"), _column(mapping, "started"))
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
    _check_durations(facts, mapping)
    return facts


def _column(mapping: FieldMapping, name: str) -> str:
    entry = mapping.fields.get(name)
    return (entry and entry.column) or name


def _check_durations(facts: Contact, mapping: FieldMapping) -> None:
    """Checks the durations against each other, and sets `answered` where no column holds it. Raises Refusal."""
    talk, hold, acw = facts.talk_ms, facts.hold_ms, facts.acw_ms
    available = None if facts.ended is None else facts.ended - facts.started
    try:
        check_talk_fits(talk, hold, available, _column(mapping, "talk_ms"))
    except Refusal as refusal:
        refusal.cure = (
            "Check the durations. If the talk time holds the hold time, say `less: [hold_ms]` in the mapping."
        )
        raise
    silence, conversation = facts.silence_vendor_ms, facts.conversation_ms
    if silence is not None and conversation is not None and silence > conversation:
        raise Refusal(_column(mapping, "silence_vendor_ms"), "It is longer than the conversation.", "Check the units.")
    if facts.gaps and conversation is not None and facts.gaps[-1][1] > conversation + checks.ROUNDING_TOLERANCE_MS:
        raise Refusal(_column(mapping, "gaps"), "A stretch ends after the conversation.", "Check the units.")
    if talk is not None and hold is not None and acw is not None and facts.handle_ms is not None:
        check_durations_agree(
            facts.handle_ms, talk + hold + acw, _column(mapping, "handle_ms"), "talk + hold + after-call work"
        )
    if facts.answered is None:
        facts.answered = _answered(facts, mapping)
    if facts.answered and facts.abandoned:
        raise Refusal(_column(mapping, "abandoned"), "The call is both answered and abandoned.", "Check the mapping.")


def _answered(facts: Contact, mapping: FieldMapping) -> bool | None:
    """Whether an agent took the call, where no column holds it: talk or hold is above 0. If the mapping has no such figure,
    an agent's name suffices. A figure of 0 is a call that rang and was not picked up. None: unknown."""
    if facts.abandoned:
        return False
    if not facts.agents:
        return None
    figures = ("talk_ms", "hold_ms", "conversation_ms", "handle_ms")
    if not any(name in mapping.fields for name in figures):
        return True
    known = [value for name in figures if (value := getattr(facts, name)) is not None]
    return any(known) if known else None


# The hour that a zone has twice when its clocks go back


def _resolve_ambiguous(row: Row, reading: ReadContext, mapping: FieldMapping, first: AmbiguousTime) -> Contact:
    """Reads the row with each choice of instants for its ambiguous times. The order of the times and the durations decide
    which choice is right. If they do not, `unsure` of the contact is set. Raises Refusal when no choice is possible."""
    possible: list[Contact] = []
    refusals: list[Refusal] = []
    open_choices: list[dict[str, int]] = [{}]
    tries = 0
    while open_choices and tries < _MAX_TRIES:
        tries += 1
        row.chosen_instants = open_choices.pop()
        try:
            facts = _facts(row, reading, mapping)
        except AmbiguousTime as ambiguous:
            open_choices += [{**row.chosen_instants, ambiguous.column: at} for at in reversed(ambiguous.instants)]
        except Refusal as refusal:
            refusals.append(refusal)
        else:
            if facts not in possible:
                possible.append(facts)
    if not possible:
        raise refusals[0]
    explained = [facts for facts in possible if _durations_add_up(facts)]
    if len(explained) == 1:
        return explained[0]
    facts = possible[0]
    if len(possible) > 1 or open_choices:
        facts.unsure = first.column
    return facts


def _durations_add_up(facts: Contact) -> bool:
    """Whether the durations of the row make up the time from its start to its end."""
    if facts.ended is None:
        return False
    return any(abs(facts.ended - facts.started - total) <= checks.ROUNDING_TOLERANCE_MS for total in _totals(facts))


def _totals(facts: Contact) -> Iterator[int]:
    talked = (facts.talk_ms or 0) + (facts.hold_ms or 0)
    for whole in (talked, facts.conversation_ms or 0, facts.handle_ms or 0):
        if whole:
            for before in (0, facts.ring_ms or 0, facts.queue_ms or 0, (facts.ring_ms or 0) + (facts.queue_ms or 0)):
                yield whole + before
                yield whole + before + (facts.acw_ms or 0)
