"""Reads a body piece by piece: unpacks it, detects its form, and yields its records."""

import codecs
from collections.abc import Iterator

from ingest.model.payload.csv_text import ColumnCheck, CsvReader
from ingest.model.payload.gzip_stream import GzipInflater
from ingest.model.payload.json_text import JsonReader, NdjsonReader, starts_with_value
from ingest.model.payload.layout import DEFAULT_LAYOUT, Layout, RecordFilter
from ingest.model.payload.record import RESEND_CURE, Limits, Record
from ingest.model.refusal import Refusal

_KNOWN_BINARY = {b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"\x89PNG": "an image", b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"PAR1": "a Parquet file"}  # fmt: skip
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}
_HEAVY_BYTES = 1 << 16
_SPACE = b" \t\r\n\v\f"


class Payload:
    """Reads a body: call `feed` for each piece, then `close`. `notes`: what was assumed of the body. `is_broken`: the rest
    cannot be read. `check`: raises Refusal for the columns of a CSV file of which no row could be accepted."""

    def __init__(
        self, limits: Limits | None = None, layout: Layout = DEFAULT_LAYOUT, check: ColumnCheck | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._layout = layout
        self._check = check
        self._sieve = RecordFilter(layout)
        self.notes: list[str] = []
        self.is_broken = False
        self._number = 0
        self._start = b""
        self._inflate: GzipInflater | None = None
        self._transcode: codecs.IncrementalDecoder | None = None
        self._bom_checked = False
        self._sniffed = bytearray()
        self._line = 1
        self._searched = 0
        self._reader: NdjsonReader | JsonReader | CsvReader | None = None

    @property
    def is_heavy(self) -> bool:
        """Whether the next step may take long, because more than 64 KB wait to be read at once."""
        return (self._reader.pending if self._reader else len(self._sniffed)) > _HEAVY_BYTES

    def feed(self, data: bytes) -> Iterator[Record]:
        """Reads a piece of the body. Yields the records that it completes."""
        return (record for record in self.feed_in_steps(data) if record is not None)

    def feed_in_steps(self, data: bytes) -> Iterator[Record | None]:
        """As `feed`; yields None where the caller may let other tasks run."""
        if self.is_broken or not data:
            return
        if self._inflate is None:
            self._start += data
            if len(self._start) < 4:
                return
            data, self._start = self._start, b""
        yield from self._guard(self._feed(data))

    def close(self) -> Iterator[Record]:
        """Ends the body. Yields the records that its end completes."""
        if not self.is_broken:
            yield from (record for record in self._guard(self._close()) if record is not None)
            self.notes += self._sieve.notes()

    def _guard(self, steps: Iterator[Record | None]) -> Iterator[Record | None]:
        try:
            for record in steps:
                if record is None:
                    yield None
                    continue
                for each in self._sieve.filter(record):
                    if self._number >= self.limits.records:
                        reason = f"The body holds more than {self.limits.records:,} records. The others were not read."
                        raise Refusal("", reason, "Send it in parts.")
                    yield self._numbered(each)
        except Refusal as refusal:
            yield from self._give_up(refusal)

    def _give_up(self, refusal: Refusal) -> Iterator[Record]:
        self.is_broken = True
        line = self._reader.line if self._reader else self._line
        yield self._numbered(Record(0, line, "", refusal=refusal, is_whole_body=True))

    def _numbered(self, record: Record) -> Record:
        self._number += 1
        record.number = self._number
        return record

    def _feed(self, data: bytes) -> Iterator[Record | None]:
        if self._inflate is None:
            self._inflate = GzipInflater(self.limits, data[:2] == b"\x1f\x8b")
        for piece in self._inflate.feed(data):
            yield from self._read(piece)
            yield None

    def _close(self) -> Iterator[Record | None]:
        if self._inflate is None:
            yield from self._feed(self._start)
        if self._inflate and self._inflate.unfinished:
            raise Refusal("", "The gzip data ends before its end.", RESEND_CURE)
        if self._reader is None:
            if not self._sniffed.strip(_SPACE):
                raise Refusal("", "The body is empty.", "Send at least one record.")
            yield from self._choose_reader(final=True)
        if self._reader:
            yield from self._reader.close()

    def _read(self, data: bytes) -> Iterator[Record]:
        if self._transcode:
            data = self._transcode.decode(data).encode()
        if self._reader:
            yield from self._reader.feed(data)
            return
        self._sniffed += data
        yield from self._choose_reader(final=False)

    def _strip_bom(self, data: bytes) -> bytes:
        if data.startswith(codecs.BOM_UTF8):
            return data[3:]
        if encoding := _detect_wide_encoding(data):
            self.notes.append(f"The text is {encoding[:6].upper()}.")
            self._transcode = codecs.getincrementaldecoder(encoding)(errors="replace")
            return self._transcode.decode(data).encode()
        for magic, what in _KNOWN_BINARY.items():
            if data.startswith(magic):
                raise Refusal("", f"This is {what}.", "Send JSON, NDJSON or CSV, plain or gzip.")
        return data

    def _choose_reader(self, *, final: bool) -> Iterator[Record]:
        """Chooses the reader once the first line is known, and feeds it what was held back."""
        if not self._bom_checked:
            if len(self._sniffed) < 4 and not final:
                return
            self._bom_checked, self._sniffed = True, bytearray(self._strip_bom(bytes(self._sniffed)))
        self._pass_space()
        first = bytes(self._sniffed[:1])
        if not first:
            return
        end = -1
        if first != b"[":
            end = self._sniffed.find(b"\n", self._searched)
            self._searched = len(self._sniffed)
            if end < 0 and not final and len(self._sniffed) <= self.limits.record_bytes:
                return
        self._reader = self._reader_of(first, end, final=final)
        held, self._sniffed = bytes(self._sniffed), bytearray()
        yield from self._reader.feed(held)

    def _pass_space(self) -> None:
        """Drops white space before the text. Raises Refusal for too many lines of it."""
        if self._sniffed[:1].isspace():
            space = len(self._sniffed) - len(self._sniffed.lstrip(_SPACE))
            self._line += self._sniffed.count(b"\n", 0, space)
            del self._sniffed[:space]
            if self._line > self.limits.blank_lines:
                reason = f"The body begins with more than {self.limits.blank_lines:,} blank lines. Nothing was read."
                raise Refusal("", reason, "Check what wrote the file; send it without them.")

    def _reader_of(self, first: bytes, end: int, *, final: bool) -> NdjsonReader | JsonReader | CsvReader:
        """The reader for a text that begins with `first`. `end`: of the first line; -1: not received yet."""
        if first == b"[":
            return JsonReader(self.limits, self.notes, array=True, line=self._line)
        if first == b"<":
            raise Refusal("", "This is XML or HTML.", "Send JSON, NDJSON or CSV.")
        if first != b"{":
            return CsvReader(self.limits, self.notes, line=self._line, layout=self._layout, check=self._check)
        line = bytes(self._sniffed[:end] if end >= 0 else self._sniffed)
        spread = end >= 0 and line.rstrip()[-1:] in b"{[,:" and not starts_with_value(line, self.limits)
        endless = end < 0 and not final and starts_with_value(line, self.limits)
        if spread or endless:
            return JsonReader(self.limits, self.notes, array=False, line=self._line)
        return NdjsonReader(self.limits, self.notes, line=self._line)


def _detect_wide_encoding(data: bytes) -> str | None:
    """The name of an encoding with two or four bytes a character, by its byte order mark or the zeros among the first
    bytes; None: another encoding."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return _ZEROS.get(tuple(byte == 0 for byte in data[:4]))
