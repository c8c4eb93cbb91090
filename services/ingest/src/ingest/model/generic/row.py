"""A record as the mapping reads it. Readers raise Refusal, which names the column, for a value that is not valid."""

import re
from collections.abc import Mapping as ReadOnly
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from pydantic import JsonValue

from ingest.model import field_readers as checks
from ingest.model.field_readers import ReadContext, check_durations_agree, quote_value
from ingest.model.generic.amounts import parse_milliseconds, parse_number
from ingest.model.generic.mapping import ENUMS, FieldMapping, FieldSource, Zone, allowed_values_cure
from ingest.model.generic.paths import MISSING, look_up
from ingest.model.leg_fields import SCORES
from ingest.model.payload.record import CsvCells
from ingest.model.refusal import Refusal

_TRUE = {"true", "1", "yes", "y", "t"}
_FALSE = {"false", "0", "no", "n", "f"}
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d{2})?", re.ASCII | re.IGNORECASE)


class AmbiguousTime(Exception):
    """The time in a column is one of two instants. `instants`: both, in order, in milliseconds since 1970."""

    def __init__(self, column: str, instants: list[int]) -> None:
        super().__init__(column)
        self.column = column
        self.instants = instants


class Row:
    """A record with its mapping. `chosen_instants`: column → the instant, in milliseconds since 1970, to take for a time
    that is one of two. Readers raise AmbiguousTime for such a time in another column."""

    def __init__(self, record: dict[str, Any], mapping: FieldMapping, reading: ReadContext) -> None:
        self.chosen_instants: ReadOnly[str, int] = {}
        self._record = record
        self._mapping = mapping
        self._fields = mapping.fields
        self._reading = reading
        self._zone: tzinfo | None = None

    def raw(self, column: str, nulls: list[str] | None = None) -> Any:
        """The value of a column or JSON path; None when it is unknown. `nulls`: values that mean unknown, besides those of
        the mapping. A field that JSON leaves out is unknown. A row of CSV has all columns of its file; raises Refusal for a
        column that the file does not have."""
        value = self._record.get(column, MISSING)
        if value is MISSING:
            value = look_up(self._record, column)
            if value is MISSING:
                if isinstance(self._record, CsvCells):
                    raise Refusal(column, "There is no such column.", "Mend the mapping or the file, then replay.")
                return None
        if isinstance(value, str):
            value = value.strip()
            if not value or value in self._mapping.nulls:
                return None
        return None if nulls and str(value) in nulls else value

    def value(self, entry: FieldSource) -> Any:
        """The value of a mapped field: the constant, or what its source has. Several columns are joined with a space; None
        unless all are known."""
        if isinstance(entry.source, str):
            return self.raw(entry.source, entry.nulls)
        if entry.source is None:
            return entry.value
        pieces = [self.raw(column, entry.nulls) for column in entry.source]
        if any(piece is None or isinstance(piece, dict | list) for piece in pieces):
            return None
        return " ".join(str(piece) for piece in pieces)

    def look_up(self, name: str) -> tuple[FieldSource, str, Any] | None:
        """The mapping of a field, the vendor's name of it, and its value (None: unknown)."""
        entry = self._fields.get(name)
        if entry is None:
            return None
        source = entry.source
        return entry, entry.column or name, self.raw(source, entry.nulls) if type(source) is str else self.value(entry)

    def text(self, name: str) -> str | None:
        """A text field, translated; None when it is unknown. Raises Refusal."""
        if name not in self._fields:
            return None
        found = self.look_up(name)
        if found is None or found[2] is None:
            return None
        entry, column, value = found
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise Refusal(column, f"{quote_value(value)} is not text.", "Map a column that holds text.")
        if len(value) > checks.MAX_TEXT_CHARS:
            raise Refusal(column, f"The text is longer than {checks.MAX_TEXT_CHARS} characters.", "Shorten it.")
        value = entry.values.get(value, value)
        if name in ENUMS:
            value = value if value in ENUMS[name] else value.lower()
            if value not in ENUMS[name]:
                cure = f"Translate it in the mapping: `{name}: {{values: {{…}}}}`. {allowed_values_cure(name)}"
                raise Refusal(column, f"{quote_value(value)} is not a value that is known here.", cure)
        return value

    def required(self, name: str) -> str:
        """As `text`. Raises Refusal when it is unknown."""
        value = self.text(name)
        if value is None:
            column = self._mapping.fields[name].column or name
            raise Refusal(column, "It is missing.", "Send it with every record.")
        return value

    # Times

    def instant(self, name: str) -> int | None:
        """A time, in milliseconds since 1970; None when it is unknown. Raises Refusal, AmbiguousTime."""
        found = self.look_up(name)
        return None if found is None or found[2] is None else self._instant(found[2], found[1])

    def _instant(self, value: Any, column: str) -> int:
        if self.chosen_instants and column in self.chosen_instants:
            return self.chosen_instants[column]
        form = self._mapping.time_format
        if form is None:
            instants = self._reading.parse_instants(value, column, self._own_zone())
        else:
            try:
                if form in ("epoch_s", "epoch_ms"):
                    at = datetime.fromtimestamp(float(value) / (1000 if form == "epoch_ms" else 1), UTC)
                else:
                    at = datetime.strptime(value, form)  # noqa: DTZ007  the zone is added in the next step
            except (TypeError, ValueError, OverflowError, OSError):
                raise Refusal(
                    column, f"{quote_value(value)} is not a time as {form}.", "Mend the file or `time_format`."
                ) from None
            instants = self._reading.resolve_instants(at, column, self._own_zone())
        if len(instants) > 1:
            raise AmbiguousTime(column, instants)
        return instants[0]

    def _own_zone(self) -> tzinfo | None:
        """The zone that the row names; None when it names none. Raises Refusal."""
        declared = self._mapping.time_zone
        if self._zone is None and isinstance(declared, Zone):
            name = self.raw(declared.source)
            if name is not None:
                self._zone = _zone(declared.values.get(str(name), str(name)))
                if self._zone is None:
                    cure = "Write an IANA name, as Europe/Berlin, or an offset; or translate it with `values`."
                    raise Refusal(declared.source, f"{quote_value(name)} is not a time zone.", cure)
        return self._zone

    # Amounts

    def duration(self, name: str) -> int | None:
        """A duration in milliseconds; None when it is unknown. Raises Refusal, AmbiguousTime."""
        found = self.look_up(name)
        if found is None:
            return None
        entry, column, value = found
        given = None if value is None else self._milliseconds(value, column, entry.unit)
        if entry.start is not None and entry.end is not None:
            start, end = self.raw(entry.start, entry.nulls), self.raw(entry.end, entry.nulls)
            if start is not None and end is not None:
                measured = self._instant(end, entry.end) - self._instant(start, entry.start)
                check_durations_agree(given, measured, column, entry.end)
                given = measured if given is None else given
        return self._subtract_included(given, entry, column) if entry.less and given is not None else given

    def _subtract_included(self, given: int, entry: FieldSource, column: str) -> int | None:
        held = [self.duration(other) for other in entry.less]
        if any(each is None for each in held):
            return None
        rest = given - sum(each or 0 for each in held)
        if rest < -checks.ROUNDING_TOLERANCE_MS:
            reason = f"{given} ms is less than {' + '.join(entry.less)}, which it is said to hold."
            raise Refusal(column, reason, "Check the units, and `less` in the mapping.")
        return max(rest, 0)

    def _milliseconds(self, value: Any, column: str, unit: str) -> int | None:
        if unit != "percent":
            return parse_milliseconds(value, column, unit, decimal_comma=self._mapping.decimal_comma)
        share = self._number(value, column)
        if not 0 <= share <= 100:
            raise Refusal(column, f"{quote_value(value)} is not from 0 to 100.", "Leave it empty if it is unknown.")
        whole = self.duration("conversation_ms")
        return None if whole is None else int((share * whole / 100).to_integral_value())

    def _number(self, value: Any, column: str) -> Any:
        return parse_number(value, column, decimal_comma=self._mapping.decimal_comma)

    def gaps(self) -> list[tuple[int, int]] | None:
        """Silent stretches as (begin, end), in milliseconds from the start of the conversation, sorted; None when they are
        unknown. In CSV they are a text of JSON. Raises Refusal."""
        found = self.look_up("gaps")
        if found is None or found[2] is None:
            return None
        entry, column, value = found
        cure = "Send a list of [begin, end] from the start of the conversation, as [[1000, 4000]]."
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except msgspec.DecodeError:
                value = None
        items: JsonValue = value
        if not isinstance(items, list):
            raise Refusal(column, "It is not a list of silent stretches.", cure)
        checks.check_stretch_count(items, column)
        stretches: list[tuple[int, int]] = []
        for each in items:
            if not isinstance(each, list) or len(each) != 2:
                raise Refusal(column, f"{quote_value(each)} is not a stretch.", cure)
            begin, end = (parse_milliseconds(one, column, entry.unit) for one in each)
            if end < begin:
                raise Refusal(column, f"{quote_value(each)} ends before it begins.", cure)
            stretches.append((begin, end))
        return sorted(stretches)

    def count(self, name: str) -> int | None:
        """A count; None when it is unknown. Raises Refusal."""
        found = self.look_up(name)
        if found is None or found[2] is None:
            return None
        amount = self._number(found[2], found[1])
        if amount < 0 or amount != amount.to_integral_value() or amount > 1_000_000:
            raise Refusal(found[1], f"{quote_value(found[2])} is not a count.", "Leave it empty if it is unknown.")
        return int(amount)

    def flag(self, name: str) -> bool | None:
        """Whether something is so; None when it is unknown. Raises Refusal."""
        found = self.look_up(name)
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
        raise Refusal(column, f"{quote_value(word)} is neither true nor false.", cure)

    def score(self, name: str) -> int | None:
        """A score in hundredths of its scale; None when it is unknown. Raises Refusal."""
        found = self.look_up(name)
        if found is None or found[2] is None:
            return None
        amount = self._number(found[2], found[1])
        low, high = SCORES[name]
        if not low <= amount <= high:
            raise Refusal(
                found[1], f"{quote_value(found[2])} is not from {low} to {high}.", "Leave it empty if it is unknown."
            )
        return int((amount * 100).to_integral_value())

    def attributes(self) -> dict[str, str]:
        """The mapped attributes in the list `keep_attributes`; without such a list, those that do not look like a telephone
        number or an address."""
        found: dict[str, str] = {}
        keep = self._mapping.keep_attributes
        for name, entry in self._mapping.attributes.items():
            value = self.value(entry)
            if value is None or isinstance(value, dict | list):
                continue
            text = entry.values.get(str(value), str(value))[:200]
            if not checks.is_personal(text) if keep is None else name in keep:
                found[name] = text
        return found


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo | None:
    if offset := _OFFSET.fullmatch(name.strip()):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes)) if minutes < 1440 else None
    try:
        return ZoneInfo(name.strip())
    except (KeyError, ValueError, OSError):
        return None
