"""Any system that writes CSV or NDJSON, by a mapping that is kept as configuration of the source.

time_zone: Europe/Berlin                 # of time stamps without an offset
time_format: "%d.%m.%Y %H:%M:%S"         # else ISO 8601; or epoch_s, epoch_ms
fields:
  contact: {from: CallID}                # required; `started` and `channel` too
  started: {from: Start}
  channel: {value: voice}                # a constant
  talk_ms: {from: Talk, unit: s}         # ms | s | min | HH:MM:SS
  acw_ms: {start: WrapStart, end: WrapEnd}
  direction: {from: Dir, values: {I: inbound, O: outbound}}
  answered: {from: Answered, true: ["Y"], false: ["N"]}
attributes: {language: {from: customer.language}}   # a JSON path, where no column has the whole name
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from ingest.model import fields as checks
from ingest.model.fields import Reading, agree, fits, in_order, show
from ingest.model.parts import Contact, Part
from ingest.model.refusal import Refusal

TEXTS = ("contact", "initial", "previous", "agent", "channel", "direction", "queue", "reason", "customer")
INSTANTS = ("started", "ended", "updated")
DURATIONS = (
    "ring_ms", "queue_ms", "talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence_vendor_ms", "overtalk_ms",
)  # fmt: skip
COUNTS = ("interruptions", "transfers")
FLAGS = ("answered", "abandoned", "transferred")
SCORES = {"csat": (0, 10), "nps": (0, 10), "qa_score": (0, 100), "sentiment": (-5, 5)}
NAMES = (*TEXTS, *INSTANTS, *DURATIONS, *COUNTS, *FLAGS, *SCORES)
ENUMS = {
    "channel": {"voice", "chat", "task", "email", "sms", "social", "video", "other"},
    "direction": {"inbound", "outbound", "internal"},
}
_UNITS = {"ms": 1, "s": 1000, "min": 60_000}
_TRUE = {"true", "1", "yes", "y", "t"}
_FALSE = {"false", "0", "no", "n", "f"}
_MISSING = object()


class From(Struct, forbid_unknown_fields=True, frozen=True):
    """Where a field comes from: a column or JSON path (`from`), a constant (`value`), or, for a duration, the instants
    between which it lies (`start`, `end`); with both, they must agree."""

    source: str | None = field(default=None, name="from")
    value: str | int | bool | None = None
    start: str | None = None
    end: str | None = None
    unit: Literal["ms", "s", "min", "HH:MM:SS"] = "ms"
    values: dict[str, str] = {}
    true: list[str] = []
    false: list[str] = []


class Mapping(Struct, forbid_unknown_fields=True, frozen=True):
    fields: dict[str, From]
    attributes: dict[str, From] = {}
    time_zone: str | None = None
    time_format: str | None = None
    decimal_comma: bool = False
    nulls: tuple[str, ...] = ("", "-", "null", "NULL", "N/A", "n/a")
    keep_attributes: list[str] = []


def mapping_of(config: Any) -> Mapping:
    """A checked mapping. Raises Refusal whose field is a JSON pointer."""
    try:
        mapping = msgspec.convert(config, Mapping)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        pointer = path.strip("`$").replace(".", "/").replace("[", "/").replace("]", "")
        raise Refusal(pointer or "/", reason, "See the format of mappings in the guide on sources.") from None
    for name, entry in mapping.fields.items():
        at = f"/fields/{name}"
        if name not in NAMES:
            raise Refusal(at, "There is no such field.", f"One of {', '.join(NAMES)}.")
        if entry.source is None and entry.value is None and (entry.start is None or entry.end is None):
            raise Refusal(at, "It says neither `from` nor `value` nor `start` and `end`.", "Name a column.")
        if (entry.start or entry.end) and name not in DURATIONS:
            raise Refusal(at, "`start` and `end` make durations only.", "Use `from`.")
        for given, canonical in entry.values.items():
            if name in ENUMS and canonical not in ENUMS[name]:
                raise Refusal(f"{at}/values/{given}", f"{show(canonical)} is unknown.", _one_of(name))
        if entry.value is not None and name in ENUMS and entry.value not in ENUMS[name]:
            raise Refusal(f"{at}/value", f"{show(entry.value)} is unknown.", _one_of(name))
    for name in ("contact", "started", "channel"):
        if name not in mapping.fields:
            raise Refusal(f"/fields/{name}", "It is missing.", "Say where it comes from.")
    zone_of(mapping.time_zone, "/time_zone")
    return mapping


def zone_of(name: str | None, field: str) -> ZoneInfo | None:
    """Raises Refusal for a zone that the IANA database does not have."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refusal(field, f"{show(name)} is not a time zone.", "Use an IANA name, as Europe/Berlin.") from None


def _one_of(name: str) -> str:
    return f"One of {', '.join(sorted(ENUMS[name]))}."


class _Row:
    """One record seen through the mapping."""

    def __init__(self, record: dict[str, Any], mapping: Mapping, reading: Reading) -> None:
        self._record = record
        self._mapping = mapping
        self._reading = reading

    def raw(self, column: str) -> Any:
        """The value of a column or JSON path; None for what the mapping counts as unknown."""
        value = self._record.get(column, _MISSING)
        if value is _MISSING:
            value = self._at_path(column)
        if isinstance(value, str):
            value = value.strip()
            return None if value in self._mapping.nulls else value
        return value

    def _at_path(self, path: str) -> Any:
        steps = path.split(".")
        value: Any = self._record
        for step in steps:
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            elif len(steps) == 1:
                raise Refusal(path, "There is no such column.", "Mend the mapping or the file, then replay.")
            else:
                return None
        return value

    def entry(self, name: str) -> tuple[From, str, Any] | None:
        """The mapping of a field, the vendor's name of it, and its value (None: unknown)."""
        entry = self._mapping.fields.get(name)
        if entry is None:
            return None
        if entry.source is None:
            return entry, name, entry.value
        return entry, entry.source, self.raw(entry.source)

    def text(self, name: str) -> str | None:
        found = self.entry(name)
        if found is None or found[2] is None:
            return None
        entry, column, value = found
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise Refusal(column, f"{show(value)} is not text.", "Map a column that holds text.")
        if len(value) > checks.MAX_NAME:
            raise Refusal(column, f"The text is longer than {checks.MAX_NAME} characters.", "Shorten it.")
        value = entry.values.get(value, value)
        if name in ENUMS:
            value = value if value in ENUMS[name] else value.lower()
            if value not in ENUMS[name]:
                cure = f"Translate it in the mapping: `{name}: {{values: {{…}}}}`. {_one_of(name)}"
                raise Refusal(column, f"{show(value)} is not a value that is known here.", cure)
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise Refusal(self._mapping.fields[name].source or name, "It is missing.", "Send it with every record.")
        return value

    def instant(self, name: str) -> int | None:
        found = self.entry(name)
        return None if found is None or found[2] is None else self._instant(found[2], found[1])

    def _instant(self, value: Any, column: str) -> int:
        form = self._mapping.time_format
        if form is None:
            return self._reading.instant(value, column)
        try:
            if form in ("epoch_s", "epoch_ms"):
                at = datetime.fromtimestamp(float(value) / (1000 if form == "epoch_ms" else 1), UTC)
            else:
                at = datetime.strptime(value, form)  # noqa: DTZ007  the zone is put on, or missed, in the next step
        except (TypeError, ValueError, OverflowError, OSError):
            raise Refusal(
                column, f"{show(value)} is not a time as {form}.", "Mend the file or `time_format`."
            ) from None
        return self._reading.placed(at, column)

    def duration(self, name: str) -> int | None:
        found = self.entry(name)
        if found is None:
            return None
        entry, column, value = found
        given = None if value is None else self._milliseconds(value, column, entry.unit)
        if entry.start is None or entry.end is None:
            return given
        start, end = self.raw(entry.start), self.raw(entry.end)
        if start is None or end is None:
            return given
        measured = self._instant(end, entry.end) - self._instant(start, entry.start)
        agree(given, measured, column, entry.end)
        return measured if given is None else given

    def _milliseconds(self, value: Any, column: str, unit: str) -> int:
        if unit != "HH:MM:SS":
            amount = self._number(value, column) * _UNITS[unit]
        else:
            pieces = value.split(":") if isinstance(value, str) else []
            if len(pieces) not in (2, 3) or not all(piece.isascii() for piece in pieces):
                raise Refusal(column, f"{show(value)} is not HH:MM:SS.", "Mend the file or the unit in the mapping.")
            amount = Decimal(0)
            for piece in pieces:
                amount = amount * 60 + self._number(piece, column)
            amount *= 1000
        if amount < 0:
            raise Refusal(column, f"{show(value)} is negative.", "Leave it empty if it is unknown.")
        if amount > checks.LONGEST_MS:
            raise Refusal(column, f"{show(value)} is longer than 400 days.", "Check the unit in the mapping.")
        return int(amount.to_integral_value())

    def _number(self, value: Any, column: str) -> Decimal:
        if isinstance(value, str) and self._mapping.decimal_comma:
            value = value.replace(",", ".")
        try:
            number = (
                Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
            )
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or number.adjusted() > 15:
            raise Refusal(column, f"{show(value)} is not a number.", "Leave it empty if it is unknown.")
        return number

    def count(self, name: str) -> int | None:
        found = self.entry(name)
        if found is None or found[2] is None:
            return None
        number = self._number(found[2], found[1])
        if number < 0 or number != number.to_integral_value() or number > 1_000_000:
            raise Refusal(found[1], f"{show(found[2])} is not a count.", "Leave it empty if it is unknown.")
        return int(number)

    def flag(self, name: str) -> bool | None:
        found = self.entry(name)
        if found is None or found[2] is None:
            return None
        entry, column, value = found
        if isinstance(value, bool):
            return value
        word = str(value)
        if word in entry.true or (not entry.true and word.lower() in _TRUE):
            return True
        if word in entry.false or (not entry.false and word.lower() in _FALSE):
            return False
        cure = f"Say it in the mapping: `{name}: {{true: [...], false: [...]}}`."
        raise Refusal(column, f"{show(word)} is neither true nor false.", cure)

    def score(self, name: str) -> int | None:
        """In hundredths of the scale."""
        found = self.entry(name)
        if found is None or found[2] is None:
            return None
        number = self._number(found[2], found[1])
        low, high = SCORES[name]
        if not low <= number <= high:
            raise Refusal(
                found[1], f"{show(found[2])} is not from {low} to {high}.", "Leave it empty if it is unknown."
            )
        return int((number * 100).to_integral_value())

    def attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, entry in self._mapping.attributes.items():
            value = entry.value if entry.source is None else self.raw(entry.source)
            if value is None or isinstance(value, dict | list):
                continue
            text = entry.values.get(str(value), str(value))[:200]
            if name in self._mapping.keep_attributes or not checks.personal(text):
                found[name] = text
        return found


def read(record: dict[str, Any], reading: Reading, mapping: Mapping) -> Part:
    """The part that a record is. Raises Refusal with the name of the column."""
    row = _Row(record, mapping, reading)
    started = row.instant("started")
    if started is None:
        raise Refusal(mapping.fields["started"].source or "started", "It is missing.", "Send it with every record.")
    ended = row.instant("ended")
    in_order(started, ended, _column(mapping, "ended"), _column(mapping, "started"))
    agent, initial, previous = row.text("agent"), row.text("initial"), row.text("previous")
    customer = row.text("customer")
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
        **{name: row.duration(name) for name in DURATIONS},
        **{name: row.count(name) for name in COUNTS},
        **{name: row.flag(name) for name in FLAGS},
        **{name: row.score(name) for name in SCORES},
    )
    _complete(facts, mapping)
    contact = row.required("contact")
    return Part(kind="contact", contact=contact, initial=initial, stamp=row.instant("updated"), facts=facts)


def _column(mapping: Mapping, name: str) -> str:
    entry = mapping.fields.get(name)
    return (entry and entry.source) or name


def _complete(facts: Contact, mapping: Mapping) -> None:
    """Check the durations against each other, and add those that follow from the rest."""
    talk, hold, acw = facts.talk_ms, facts.hold_ms, facts.acw_ms
    available = None if facts.ended is None else facts.ended - facts.started
    fits(talk, hold, available, _column(mapping, "talk_ms"))
    silence, conversation = facts.silence_vendor_ms, facts.conversation_ms
    if silence is not None and conversation is not None and silence > conversation:
        raise Refusal(_column(mapping, "silence_vendor_ms"), "It is longer than the conversation.", "Check the units.")
    if talk is not None and hold is not None and acw is not None and facts.handle_ms is not None:
        agree(facts.handle_ms, talk + hold + acw, _column(mapping, "handle_ms"), "talk + hold + after-call work")
    if facts.answered is None and (facts.agents or facts.abandoned):
        facts.answered = bool(facts.agents) and not facts.abandoned
    if facts.answered and facts.abandoned:
        raise Refusal(_column(mapping, "abandoned"), "The call is both answered and abandoned.", "Check the mapping.")
