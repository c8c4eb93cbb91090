"""Parsers of numbers and durations as files write them. They refuse a value with two possible meanings."""

import re
from decimal import Decimal
from typing import Any

from ingest.model.field_readers import MAX_DURATION_MS, quote_value
from ingest.model.refusal import Refusal

_FACTORS = {"ms": 1, "s": 1000, "min": 60_000}
_UNKNOWN = "Leave it empty if it is unknown."
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-"})
_GAPS = " \u00a0\u202f\u2009'\u2019"  # between groups of thousands: spaces and apostrophes of every kind
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
_GROUPED = {
    # By the mark of the decimals: one kind of group mark, in groups of three, none before a 0.
    ".": re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:(?P<mark>[{_GAPS},])\d{{3}})(?:(?P=mark)\d{{3}})*(?:\.\d+)?", re.ASCII),
    ",": re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:(?P<mark>[{_GAPS}.])\d{{3}})(?:(?P=mark)\d{{3}})*(?:,\d+)?", re.ASCII),
}
_CLOCK = re.compile(
    r"(?P<minus>-)?(?:(?P<days>\d{1,4})(?:\.|\s+|\s*d(?:ays?)?,?\s*))?(?P<first>\d{1,6}):(?P<second>\d{1,2})"
    r"(?::(?P<third>\d{1,2}))?(?:[.,](?P<fraction>\d{1,9}))?",
    re.IGNORECASE | re.ASCII,
)


def parse_number(value: Any, column: str, *, decimal_comma: bool = False) -> Decimal:
    """`1234`, `1234.5`, `1,234.5`, `1 234.5`, `1'234.5`; with `decimal_comma` `1234,5`, `1.234,5`, `1 234,5`. Numbers of
    JSON are as they are. Raises Refusal."""
    if isinstance(value, str):
        found = _parse_decimal(value, column, decimal_comma=decimal_comma)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = Decimal(str(value))
    else:
        found = None
    if found is None or not found.is_finite() or found.adjusted() > 15:
        raise Refusal(column, f"{quote_value(value)} is not a number.", _UNKNOWN)
    return found


def _parse_decimal(text: str, column: str, *, decimal_comma: bool) -> Decimal | None:
    if text.isascii() and text.isdigit():
        return Decimal(text)
    plain = text.strip().translate(_MINUS)
    mark = "," if decimal_comma else "."
    if _GROUPED[mark].fullmatch(plain):
        if not decimal_comma and plain.count(",") == 1 and "." not in plain:
            reason = f"{quote_value(text)} may be a thousand and more, or a decimal comma."
            cure = "Write it without the comma, or set `decimal_comma` in the mapping."
            raise Refusal(column, reason, cure)
        for gap in f"{_GAPS}{'.' if decimal_comma else ','}":
            plain = plain.replace(gap, "")
    elif decimal_comma and "." in plain:
        reason = f"{quote_value(text)} is not a number with a decimal comma."
        raise Refusal(column, reason, "With `decimal_comma` a point stands between thousands; check the mapping.")
    if decimal_comma:
        plain = plain.replace(",", ".")
    if _PLAIN.fullmatch(plain):
        return Decimal(plain)
    if "," in plain:
        raise Refusal(
            column, f"{quote_value(text)} is not a number.", "For a decimal comma set `decimal_comma` in the mapping."
        )
    return None


def parse_milliseconds(value: Any, column: str, unit: str, *, decimal_comma: bool = False) -> int:
    """A duration in a unit of the mapping, in milliseconds. Raises Refusal."""
    factor = _FACTORS.get(unit)
    if factor is not None and type(value) is str and value.isascii() and value.isdigit() and len(value) < 9:
        plain = int(value) * factor  # most files hold plain digits, which need no Decimal
        if plain <= MAX_DURATION_MS:
            return plain
    if unit == "HH:MM:SS":
        amount = _parse_clock(value, column)
    else:
        amount = parse_number(value, column, decimal_comma=decimal_comma) * _FACTORS[unit]
    if amount < 0:
        raise _negative(value, column)
    if amount > MAX_DURATION_MS:
        raise Refusal(column, f"{quote_value(value)} is longer than 400 days.", "Check the unit in the mapping.")
    return int(amount.to_integral_value())


def _parse_clock(value: Any, column: str) -> Decimal:
    """`MM:SS`, `HH:MM:SS` with any number of hours, `1.02:03:04` and `1 day 02:03:04` with days, each with a fraction."""
    found = _CLOCK.fullmatch(value.strip().translate(_MINUS)) if isinstance(value, str) else None
    if found is None:
        raise Refusal(column, f"{quote_value(value)} is not HH:MM:SS.", "Mend the file or the unit in the mapping.")
    if found["minus"]:
        raise _negative(value, column)
    pieces = [int(found[name]) for name in ("first", "second", "third") if found[name] is not None]
    days = found["days"]
    if days is not None and len(pieces) < 3:
        raise Refusal(column, f"{quote_value(value)} has days and no seconds.", "Write it as 1.02:03:04.")
    if any(piece > 59 for piece in pieces[1:]) or (days is not None and pieces[0] > 23):
        reason = f"{quote_value(value)} has a piece that is out of range: minutes and seconds go to 59, beside days hours to 23."
        raise Refusal(column, reason, "Mend the file or the unit in the mapping.")
    amount = Decimal(0)
    for piece in pieces:
        amount = amount * 60 + piece
    amount += int(days or 0) * 86_400
    return (amount + Decimal(f"0.{found['fraction'] or 0}")) * 1000


def _negative(value: Any, column: str) -> Refusal:
    return Refusal(column, f"{quote_value(value)} is negative.", _UNKNOWN)
