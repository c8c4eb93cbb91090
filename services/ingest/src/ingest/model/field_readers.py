"""Readers of single values of a record. Each raises Refusal, which names the field, for a value that is not valid."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from ingest.model.refusal import Refusal

EARLIEST_MS = 946_684_800_000  # 2000-01-01. Older times come from a clock that is not set.
MAX_FUTURE_MS = 86_400_000
MAX_DURATION_MS = 400 * 86_400_000
ROUNDING_TOLERANCE_MS = 2_000  # two figures in whole seconds, each rounded by up to one second
MAX_TEXT_CHARS = 512
MAX_STRETCHES = 5_000
"""The most silent stretches of one conversation: at three seconds each, four hours of silence."""
_MAX_ADDRESS_CHARS = 320  # of an e-mail address, RFC 3696
_PHONE = re.compile(r"[+(]?\d[\d\s().\-/]{5,}\d")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NUMBER = re.compile(r"[^\d+]")


@dataclass(frozen=True)
class ReadContext:
    """What a reader needs besides the record. `now_ms`: since 1970 UTC; `secret`: the key of the tenant's customer hashes;
    `zone`: of time stamps without an offset."""

    now_ms: int
    secret: bytes
    zone: tzinfo | None = None

    def customer_key(self, address: str) -> str:
        """A keyed hash of a telephone number or address: 32 hexadecimal digits, the same for the same customer."""
        plain = address.strip().lower()
        if _PHONE.fullmatch(plain):
            plain = _NUMBER.sub("", plain)
        return hmac.digest(self.secret, plain.encode(), "sha256")[:16].hex()

    def parse_instant(self, value: Any, field: str) -> int:
        """Milliseconds since 1970 of an ISO 8601 text with an offset, or in `self.zone`. Raises Refusal, also for a time
        that is one of two instants."""
        first, *others = self.parse_instants(value, field)
        if others:
            reason = f"{quote_value(value)} may be either of two instants: the clocks went back in that hour."
            raise Refusal(field, reason, "Send it with its offset, as 2026-10-25T02:30:00+02:00.")
        return first

    def parse_instants(self, value: Any, field: str, zone: tzinfo | None = None) -> list[int]:
        """The instants that an ISO 8601 text may mean, in milliseconds since 1970: one, or two as of `resolve_instants`.
        `zone`: of times without an offset; None: the source's zone. Raises Refusal."""
        try:
            ms = _milliseconds(value)
            if ms is not None and EARLIEST_MS <= ms <= self.now_ms + MAX_FUTURE_MS:
                return [ms]
            return self.resolve_instants(datetime.fromisoformat(value), field, zone)
        except (ValueError, TypeError):
            cure = "Send ISO 8601 with an offset, as 2026-03-02T08:00:00Z."
            raise Refusal(field, f"{quote_value(value)} is not a time.", cure) from None

    def resolve_instants(self, at: datetime, field: str, zone: tzinfo | None = None) -> list[int]:
        """The instant of a time, in milliseconds since 1970; two instants, in order, in the hour that a zone has twice when
        its clocks go back. Raises Refusal for a time in the hour that the zone skips when its clocks go forward."""
        if at.tzinfo is not None:
            return [self._within(at, field)]
        zone = zone or self.zone
        if zone is None:
            cure = "Send an offset (…Z, …+01:00), or set the source's `time_zone`."
            raise Refusal(field, f"{at.isoformat()} has no time zone.", cure)
        at = at.replace(tzinfo=zone)
        again = at.replace(fold=1)
        first = self._within(at, field)
        if again.utcoffset() == at.utcoffset():
            return [first]
        then = self._within(again, field)
        if then < first:
            reason = f"{at:%Y-%m-%dT%H:%M:%S} does not exist in {zone}: the clocks went forward over that hour."
            raise Refusal(field, reason, "Send it with its offset, or name the zone of the clock that wrote it.")
        return [first, then]

    def _within(self, at: datetime, field: str) -> int:
        try:
            ms = round(at.timestamp() * 1000)
        except (OverflowError, ValueError):
            ms = -1
        if ms < EARLIEST_MS:
            raise Refusal(field, f"{at.isoformat()} is before the year 2000.", "Check the clock that wrote it.")
        if ms > self.now_ms + MAX_FUTURE_MS:
            raise Refusal(field, f"{at.isoformat()} is in the future.", "Check the clock and the zone that wrote it.")
        return ms

    def read_instant(self, record: Mapping[str, Any], name: str, prefix: str = "") -> int | None:
        """The time of a field, in milliseconds since 1970; None when it is missing, null or empty. `prefix`: what a refusal
        writes before the field's name."""
        value = record.get(name)
        return None if value is None or value == "" else self.parse_instant(value, prefix + name)


@lru_cache(maxsize=10_000)
def _milliseconds(text: str) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 text with an offset; None without one. The cache helps because many times
    occur twice in a record: one stretch ends where the next begins. Raises ValueError, TypeError."""
    at = datetime.fromisoformat(text)
    try:
        return None if at.tzinfo is None else round(at.timestamp() * 1000)
    except OverflowError:
        return None


def parse_zone(name: str | None, field: str) -> ZoneInfo | None:
    """The time zone of this name; None without a name. Raises Refusal for a name that is not in the IANA database."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refusal(
            field, f"{quote_value(name)} is not a time zone.", "Use an IANA name, as Europe/Berlin."
        ) from None


def quote_value(value: Any) -> str:
    """A value as messages show it: in backquotes, at most 60 characters."""
    text = value if isinstance(value, str) else repr(value)
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"


def read_text(record: Mapping[str, Any], name: str, prefix: str = "") -> str | None:
    """The text of a field; None when it is missing, null or empty. Raises Refusal for other values and longer texts."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= MAX_TEXT_CHARS:
        return value
    if not isinstance(value, str):
        raise Refusal(prefix + name, f"{quote_value(value)} is not text.", "Send it in quotation marks.")
    if len(value) > MAX_TEXT_CHARS:
        raise Refusal(prefix + name, f"The text is longer than {MAX_TEXT_CHARS} characters.", "Shorten it.")
    return value


def read_required_text(record: Mapping[str, Any], name: str, prefix: str = "") -> str:
    """As `read_text`. Raises Refusal when the field is missing, null or empty."""
    value = read_text(record, name, prefix)
    if value is None:
        raise Refusal(prefix + name, "It is missing.", "Send the record with this field.")
    return value


def read_object(record: Mapping[str, Any], name: str, prefix: str = "") -> dict[str, JsonValue] | None:
    """The object in a field; None when it is missing or null. Raises Refusal for other values."""
    value: JsonValue = record.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refusal(prefix + name, f"{quote_value(value)} is not an object.", "Send the vendor's record unchanged.")
    return value


def read_whole_number(record: Mapping[str, Any], name: str, prefix: str = "", *, multiplier: int = 1) -> int | None:
    """A whole number from 0 on, multiplied by `multiplier` (1000 makes milliseconds of seconds); None when it is missing,
    null or empty. Raises Refusal for other values, and for more than 400 days of milliseconds."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if type(value) is int and 0 <= value * multiplier <= MAX_DURATION_MS:
        return value * multiplier
    field = prefix + name
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and value % 1):
        raise Refusal(
            field, f"{quote_value(value)} is not a whole number.", "Send a whole number, or null if it is unknown."
        )
    if value < 0:
        raise Refusal(field, f"{quote_value(value)} is negative.", "Send null if it is unknown.")
    if value * multiplier > MAX_DURATION_MS:
        raise Refusal(field, f"{quote_value(value)} is longer than 400 days.", "Check the unit.")
    return int(value) * multiplier


def check_durations_agree(given: int | None, measured: int | None, field: str, other: str) -> None:
    """Raises Refusal for a duration that differs from that between its instants by more than rounding. All in ms."""
    if measured is not None and measured < 0:
        raise Refusal(other, "The end lies before the start.", "Check which of the two is wrong.")
    if given is not None and measured is not None and abs(given - measured) > ROUNDING_TOLERANCE_MS:
        raise Refusal(field, f"{given} ms contradicts {other}, which makes {measured} ms.", "Send one of the two.")


def check_order(first: int | None, then: int | None, field: str, before: str) -> None:
    """Raises Refusal when `then`, of field `field`, lies before `first`, of field `before`."""
    if first is not None and then is not None and then < first:
        raise Refusal(field, f"It lies before {before}.", "Check which of the two is wrong.")


def check_talk_fits(talk: int | None, hold: int | None, available: int | None, field: str) -> None:
    """Raises Refusal when talk and hold last longer than the contact by more than rounding. All in ms."""
    spent = (talk or 0) + (hold or 0)
    if available is not None and spent > available + ROUNDING_TOLERANCE_MS:
        raise Refusal(field, f"Talk and hold last {spent} ms, the contact only {available} ms.", "Check the durations.")


def check_stretch_count(stretches: Sequence[Any], field: str) -> None:
    """Raises Refusal for a list of more silent stretches than one conversation can have."""
    if len(stretches) > MAX_STRETCHES:
        reason = f"It lists {len(stretches):,} silent stretches; at most {MAX_STRETCHES:,} are read."
        raise Refusal(field, reason, "Send the stretches of one conversation only.")


def is_personal(value: str) -> bool:
    """Whether a text looks like a telephone number or an e-mail address."""
    if len(value) > _MAX_ADDRESS_CHARS:
        return False
    plain = value.strip()
    return bool(_EMAIL.fullmatch(plain) or _PHONE.fullmatch(plain))
