"""The mapping of a generic source: which column or path each field of a record comes from. It is checked when it is saved."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct, field

from ingest.model.config_errors import convert_config
from ingest.model.field_readers import parse_zone, quote_value
from ingest.model.generic.paths import MISSING, explode_record, look_up
from ingest.model.leg_fields import COUNTS, DURATIONS, FLAGS, SCORES
from ingest.model.payload.layout import Layout
from ingest.model.refusal import Refusal

TEXTS = ("contact", "initial", "previous", "agent", "channel", "direction", "queue", "reason", "customer")
INSTANTS = ("started", "ended", "updated")
SHARES = ("silence_vendor_ms", "overtalk_ms")
NAMES = (*TEXTS, *INSTANTS, *DURATIONS, "gaps", *COUNTS, *FLAGS, *SCORES)
ENUMS = {
    "channel": {"voice", "chat", "task", "email", "sms", "social", "video", "other"},
    "direction": {"inbound", "outbound", "internal"},
}
UNITS = ("ms", "s", "min", "HH:MM:SS", "percent")


class FieldSource(Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """Where a field comes from: a column or JSON path (`from`; several are joined with a space), a constant (`value`),
    or, for a duration, the instants between which it lies (`start`, `end`); with both, they must agree.

    `less` names durations that the column holds too: talk that includes hold is `{from: billsec, less: [hold_ms]}`.
    `nulls` are further values that mean unknown in this field only, such as an instant of 0.
    """

    source: str | list[str] | None = field(default=None, name="from")
    value: str | int | bool | None = None
    start: str | None = None
    end: str | None = None
    unit: Literal["ms", "s", "min", "HH:MM:SS", "percent"] = "ms"
    less: list[str] = []
    nulls: list[str] = []
    values: dict[str, str] = {}
    true: list[str] = []
    false: list[str] = []

    @cached_property
    def column(self) -> str | None:
        """The name of what the field comes from, as messages show it."""
        return " + ".join(self.source) if isinstance(self.source, list) else self.source

    @property
    def columns(self) -> list[str]:
        """All columns and paths that the field is read from."""
        named = [self.source] if isinstance(self.source, str) else self.source or []
        return [*named, *(name for name in (self.start, self.end) if name)]


class Zone(Struct, forbid_unknown_fields=True, frozen=True):
    """The column that holds the zone of a row's times: an IANA name or an offset. `values` translate other names."""

    source: str = field(name="from")
    values: dict[str, str] = {}


class SkipRule(Struct, forbid_unknown_fields=True, frozen=True):
    """Records that are no calls: those where the column or path has one of these values; "" is for what is empty or
    absent."""

    source: str = field(name="from")
    values: list[str] = field(name="is")

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether the record is skipped."""
        value = record.get(self.source, MISSING)
        if value is MISSING:
            value = look_up(record, self.source)
        return ("" if value is None or value is MISSING else str(value).strip()) in self.values


class FieldMapping(Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """The mapping of a source. `columns` name the columns of a CSV file without header. `each` is the JSON path of a list in which one record
    holds several legs: each element that the path chooses becomes a record of its own, with the rest of the record."""

    fields: dict[str, FieldSource]
    attributes: dict[str, FieldSource] = {}
    time_zone: str | Zone | None = None
    time_format: str | None = None
    decimal_comma: bool = False
    nulls: tuple[str, ...] = ("", "-", "null", "NULL", "N/A", "n/a")
    keep_attributes: list[str] | None = None
    columns: list[str] = []
    skip: list[SkipRule] = []
    each: str | None = None

    @property
    def zone(self) -> str | None:
        """The name of the zone of times without an offset; None when there is none, or when each row names its own."""
        return self.time_zone if isinstance(self.time_zone, str) else None

    @cached_property
    def amounts(self) -> dict[str, tuple[str, ...]]:
        """Kind of field (`duration`, `count`, `flag`, `score`) → the mapped fields of that kind."""
        kinds = {"duration": DURATIONS, "count": COUNTS, "flag": FLAGS, "score": tuple(SCORES)}
        return {kind: tuple(name for name in names if name in self.fields) for kind, names in kinds.items()}

    @cached_property
    def numbered(self) -> bool:
        """Whether the mapping names all columns by number, from 0, because the file has no header."""
        named = [column for entry in (*self.fields.values(), *self.attributes.values()) for column in entry.columns]
        return bool(named) and all(name.isascii() and name.isdigit() for name in named)


def parse_mapping(config: Any) -> FieldMapping:
    """Parses and checks a mapping. Raises Refusal, whose field is a JSON pointer."""
    mapping = convert_config(config, FieldMapping)
    for name, entry in mapping.fields.items():
        _check(name, entry, mapping)
    for name in ("contact", "started", "channel"):
        if name not in mapping.fields:
            raise Refusal(f"/fields/{name}", "It is missing.", "Say where it comes from.")
    for name, entry in mapping.attributes.items():
        if entry.source is None and entry.value is None:
            raise Refusal(f"/attributes/{name}", "It says neither `from` nor `value`.", "Name a column.")
    parse_zone(mapping.zone, "/time_zone")
    if isinstance(mapping.time_zone, Zone):
        for given, zone in mapping.time_zone.values.items():
            parse_zone(zone, f"/time_zone/values/{given}")
    if (twice := _find_duplicate(mapping.columns)) is not None:
        raise Refusal("/columns", f"{quote_value(twice)} stands there twice.", "Name every column once.")
    return mapping


def build_layout(mapping: FieldMapping) -> Layout:
    """The layout of the files that the mapping reads."""
    each = mapping.each
    headless = bool(mapping.columns) or mapping.numbered
    known_by = [] if headless else [*mapping.fields["contact"].columns, *mapping.fields["started"].columns]
    return Layout(
        columns=tuple(mapping.columns),
        has_numbered_columns=mapping.numbered and not mapping.columns,
        header_columns=frozenset(known_by),
        skip=(lambda record: any(skip.matches(record) for skip in mapping.skip)) if mapping.skip else None,
        split=None if each is None else lambda record: explode_record(record, each),
    )


def _check(name: str, entry: FieldSource, mapping: FieldMapping) -> None:  # noqa: C901 - a list of rules about one field
    at = f"/fields/{name}"
    if name not in NAMES:
        raise Refusal(at, "There is no such field.", f"One of {', '.join(NAMES)}.")
    if not entry.source and entry.value is None and (entry.start is None or entry.end is None):
        raise Refusal(at, "It says neither `from` nor `value` nor `start` and `end`.", "Name a column.")
    if isinstance(entry.source, list) and name not in (*TEXTS, *INSTANTS):
        raise Refusal(f"{at}/from", "Only texts and times may come from several columns.", "Name one column.")
    if (entry.start or entry.end) and name not in DURATIONS:
        raise Refusal(at, "`start` and `end` make durations only.", "Use `from`.")
    if entry.unit == "percent" and name not in SHARES:
        raise Refusal(f"{at}/unit", f"{name} is no share of the conversation.", f"One of {', '.join(UNITS[:-1])}.")
    for other in entry.less:
        if name not in DURATIONS or other not in DURATIONS or other not in mapping.fields or other == name:
            cure = f"Name other durations of the mapping: {', '.join(each for each in DURATIONS if each != name)}."
            raise Refusal(f"{at}/less", f"{quote_value(other)} cannot be taken from {name}.", cure)
        if mapping.fields[other].less:
            raise Refusal(
                f"{at}/less", f"{quote_value(other)} has a `less` itself.", "Name durations that stand for themselves."
            )
    for given, canonical in entry.values.items():
        if name in ENUMS and canonical not in ENUMS[name]:
            raise Refusal(f"{at}/values/{given}", f"{quote_value(canonical)} is unknown.", allowed_values_cure(name))
    if entry.value is not None and name in ENUMS and entry.value not in ENUMS[name]:
        raise Refusal(f"{at}/value", f"{quote_value(entry.value)} is unknown.", allowed_values_cure(name))


def allowed_values_cure(name: str) -> str:
    """The cure that lists the values of an enumerated field."""
    return f"One of {', '.join(sorted(ENUMS[name]))}."


def _find_duplicate(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)
