"""Reads JSON as records: NDJSON, an array, or values spread over lines."""

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import Any, NoReturn

import msgspec
from pydantic import JsonValue
from servicekit.door.body import count_values

from ingest.model.payload.lines import LineReader, decode_western
from ingest.model.payload.record import RESEND_CURE, Limits, Record
from ingest.model.refusal import Refusal

_NDJSON_CURE = "Send NDJSON, one record a line: then one bad record does not hide the others."
_SPACE = re.compile(r"\s*")
_SEPARATORS = re.compile(r"[\s,]*")
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise Refusal(twice[:100], "The same name occurs twice in one object.", "Send each name once.")
    return value


def _reject_constant(text: str) -> NoReturn:
    raise Refusal("", f"{text} is not JSON.", "Send null for what is unknown.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refusal("", f"The number {text[:40]} is too large.", "Send null for what is unknown.")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_reject_constant, parse_float=_finite)
_LENIENT = json.JSONDecoder()


def _decode_plain_object(text: str) -> dict[str, Any] | None:
    """The object of a line, decoded ten times as fast as by `_DECODER`; None when `_DECODER` must read the line.

    Decoding drops a name that occurs twice, and its colon. So the number of colons differs when the object is encoded
    again.
    """
    if not text.startswith("{") or "\\u" in text:
        return None
    try:
        value = msgspec.json.decode(text)
        same = text.count(":") == msgspec.json.encode(value).count(b":")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if same else None


def _json_error(error: ValueError | RecursionError) -> Refusal:
    if isinstance(error, RecursionError):
        return Refusal("", "The JSON is nested too deeply.", "Send records as the vendor writes them.")
    if isinstance(error, json.JSONDecodeError):
        reason = f"This is not JSON: {error.msg.lower()} at character {error.colno}."
        return Refusal("", reason, "Mend the line, or send the file as the vendor wrote it.")
    return Refusal("", "A number has too many digits.", "Send whole numbers below 2^53.")


def _as_record(line: int, raw: str, value: JsonValue) -> Record:
    if not isinstance(value, dict):
        return Record(0, line, raw, refusal=Refusal("", "A record must be a JSON object.", "Send objects."))
    if "\\u" in raw and (refusal := _unstorable(raw, value)):
        return Record(0, line, raw, refusal=refusal)
    return Record(0, line, raw, value)


def _unstorable(raw: str, value: Any) -> Refusal | None:
    if _NUL_ESCAPE.search(raw):
        return Refusal("", "The text holds NUL characters.", "Remove \\u0000 from the record.")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Refusal("", "The text holds half of a surrogate pair.", "Write the record as valid Unicode.")
    return None


def has_too_many_values(line: bytes, limits: Limits) -> bool:
    """Whether a record holds more values and names than the limit. Counts bytes, and parses nothing."""
    return len(line) > limits.record_values and count_values(line) > limits.record_values


def _too_many_values_refusal(limits: Limits) -> Refusal:
    reason = f"The record holds more than {limits.record_values:,} values."
    return Refusal("", reason, "Send it without what is not about the call's course.")


def starts_with_value(line: bytes, limits: Limits) -> bool:
    """Whether the line begins with a complete JSON value; also true for a line with too many values to parse."""
    if has_too_many_values(line, limits):
        return True
    try:
        _DECODER.raw_decode(line.decode(errors="replace"))
    except Refusal:
        return True
    except (ValueError, RecursionError):
        return False
    return True


class NdjsonReader(LineReader):
    """NDJSON; several values in one line, as delivery streams write them, are taken apart."""

    def _on_line(self, number: int, line: bytes | None) -> Iterator[Record]:
        if line is None:
            yield self._too_long(number)
            return
        if has_too_many_values(line, self._limits):
            yield Record(0, number, self._decode(line).strip(), refusal=_too_many_values_refusal(self._limits))
            return
        text = self._decode(line).strip()
        if (value := _decode_plain_object(text)) is not None:
            yield Record(0, number, text, value)
            return
        if not text:
            self._count_blank(1)
        begin = 0
        while begin < len(text):
            try:
                value, end = _DECODER.raw_decode(text, begin)
            except Refusal as refusal:
                yield Record(0, number, text[begin:], refusal=refusal)
                return
            except (ValueError, RecursionError) as error:
                yield Record(0, number, text[begin:], refusal=_json_error(error))
                return
            raw = text if begin == 0 and end == len(text) else text[begin:end]
            yield _as_record(number, raw, value)
            space = _SPACE.match(text, end)
            assert space is not None, "it matches the empty text"
            begin = space.end()


class JsonReader:
    """Reads a JSON array, or JSON values spread over several lines. Nothing after a broken value can be read."""

    def __init__(self, limits: Limits, notes: list[str], *, array: bool, line: int = 1) -> None:
        self.line = line
        self._notes = notes
        self._limits = limits
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = StringIO()
        self.pending = 0  # characters of an incomplete value
        self._wanted = 0
        self._array = array
        self._opened = self._closed = False

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yields the records that these bytes complete. Raises Refusal when the rest cannot be read."""
        text = self._decode(data)
        self._text.write(text)
        self.pending += len(text)
        if self.pending >= self._wanted:
            yield from self._take(final=False)

    def close(self) -> Iterator[Record]:
        """Yields the records that the end completes. Raises Refusal for an incomplete record or array."""
        yield from self._take(final=True)
        if self._array and not self._closed:
            raise Refusal("", "The JSON array is not closed: the payload ends too early.", RESEND_CURE)

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data)
        except UnicodeDecodeError:
            held = self._decoder.getstate()[0]
            self._notes.append(f"From line {self.line} on the text is not UTF-8 and was read as Windows-1252.")
            self._decoder = codecs.getincrementaldecoder("latin-1")()
            return decode_western(held + data)

    def _take(self, *, final: bool) -> Iterator[Record]:
        text, at = self._text.getvalue(), 0
        if self._array and not self._opened:
            at = text.index("[") + 1
            self.line += text.count("\n", 0, at)
            self._opened = True
        try:
            while True:
                separators = _SEPARATORS.match(text, at)
                assert separators is not None, "it matches the empty text"
                begin = separators.end()
                self.line += text.count("\n", at, begin)
                at = begin
                if at >= len(text):
                    return
                if self._closed or (self._array and text[at] == "]"):
                    if self._closed:
                        raise Refusal("", "There is text after the end of the array.", "Send one array.")
                    self._closed, at = True, at + 1
                    continue
                try:
                    record, end = self._value(text, at)
                except (ValueError, RecursionError) as error:
                    if isinstance(error, json.JSONDecodeError) and self._wait_for_more(text, at, final=final):
                        return
                    raise self._broken_value_refusal(error, len(text) - at, final=final) from None
                if (
                    end == len(text)
                    and not final
                    and text[end - 1] not in "}]"
                    and self._wait_for_more(text, at, final=final)
                ):
                    return  # a number may continue in the next piece
                yield record
                self.line += text.count("\n", at, end)
                at, self._wanted = end, 0
        finally:
            self._text, self.pending = StringIO(), len(text) - at
            self._text.write(text[at:])

    def _value(self, text: str, at: int) -> tuple[Record, int]:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except Refusal as refusal:
            _, end = _LENIENT.raw_decode(text, at)
            return Record(0, self.line, text[at:end], refusal=refusal), end
        return _as_record(self.line, text[at:end], value), end

    def _wait_for_more(self, text: str, at: int, *, final: bool) -> bool:
        """Whether more text may complete the value that begins at `at`. Doubling the awaited size keeps the work linear.
        Raises Refusal when the value holds too many values already."""
        size, most = len(text) - at, self._limits.record_bytes
        if final or size > most:
            return False
        if has_too_many_values(text[at:].encode(), self._limits):
            refusal = _too_many_values_refusal(self._limits)
            raise Refusal("", refusal.reason, f"{refusal.cure} Nothing after it was read. {_NDJSON_CURE}")
        self._wanted = min(2 * size, most + 1)
        return True

    def _broken_value_refusal(self, error: ValueError | RecursionError, size: int, *, final: bool) -> Refusal:
        if not isinstance(error, json.JSONDecodeError):
            refusal = _json_error(error)
        elif not final:
            refusal = Refusal("", f"The record is broken or larger than {self._limits.record_bytes >> 20} MB.")
        elif error.pos >= len(error.doc.rstrip()) or "Unterminated" in error.msg:
            return Refusal("", "The payload ends in the middle of a record.", RESEND_CURE)
        else:
            line = self.line + error.doc.count("\n", len(error.doc) - size, error.pos)
            refusal = Refusal("", f"This is not JSON: {error.msg.lower()} at line {line}.")
        return Refusal("", refusal.reason, f"{refusal.cure} Nothing after it was read. {_NDJSON_CURE}".strip())
