"""Splits bytes into lines and decodes each on its own, so that a bad byte affects one line only."""

import re
from collections.abc import Iterator

from ingest.model.payload.record import Limits, Record
from ingest.model.refusal import Refusal

_RUNS = re.compile(rb"\n+|[^\n]+")


class LineSplitter:
    """Splits bytes into lines. `limit`: of a line, in bytes; a longer line is dropped and yielded as None. `line`: number of
    the current line. `empty`: how many lines were empty; they are yielded only while `emit_empty` is set. `size`: bytes of
    the incomplete line."""

    def __init__(self, limit: int, line: int = 1) -> None:
        self.line = line
        self.empty = 0
        self.emit_empty = False
        self.size = 0
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The numbers and bytes of the lines that these bytes complete."""
        if b"\n\n" in data:
            yield from self._feed_runs(data)
            return
        first, *others = data.split(b"\n")
        self._hold(first)
        for piece in others:
            if self.size:
                yield self._take()
            else:
                yield from self._pass(1)
            self._hold(piece)

    def _feed_runs(self, data: bytes) -> Iterator[tuple[int, bytes | None]]:
        for run in _RUNS.findall(data):
            if not run.startswith(b"\n"):
                self._hold(run)
                continue
            ends = len(run)
            if self.size:
                yield self._take()
                ends -= 1
            yield from self._pass(ends)

    def close(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, if it has no line break at its end."""
        if self.size:
            yield self._take()

    def _pass(self, lines: int) -> Iterator[tuple[int, bytes]]:
        while lines and self.emit_empty:
            self.line += 1
            lines -= 1
            yield self.line - 1, b""
        self.line += lines
        self.empty += lines

    def _hold(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self._limit:
            self._held += piece
        elif self._held:
            self._held = bytearray()

    def _take(self) -> tuple[int, bytes | None]:
        line = bytes(self._held) if self.size <= self._limit else None
        number = self.line
        self._held.clear()
        self.size = 0
        self.line += 1
        return number, line


class LineReader:
    """Reads records line by line; subclasses read the lines. `line`: number of the first line."""

    def __init__(self, limits: Limits, notes: list[str], *, line: int = 1) -> None:
        self._limits = limits
        self._notes = notes
        self._splitter = LineSplitter(limits.record_bytes, line)
        self._foreign = 0
        self._blank = 0

    @property
    def line(self) -> int:
        """Number of the current line."""
        return self._splitter.line

    @property
    def pending(self) -> int:
        """Bytes of the incomplete line."""
        return self._splitter.size

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yields the records that these bytes complete. Raises Refusal when the rest cannot be read."""
        for number, line in self._splitter.feed(data):
            yield from self._on_line(number, line)
        self._count_blank(0)

    def _count_blank(self, lines: int) -> None:
        """Counts lines without content that are not empty. Raises Refusal for too many blank lines."""
        self._blank += lines
        if self._blank + self._splitter.empty > self._limits.blank_lines:
            reason = f"More than {self._limits.blank_lines:,} lines are blank. Nothing after them was read."
            raise Refusal("", reason, "Check what wrote the file; send it without them.")

    def close(self) -> Iterator[Record]:
        """Yields the records that the end completes."""
        for number, line in self._splitter.close():
            yield from self._on_line(number, line)
        yield from self._finish()
        if self._foreign:
            self._notes.append(f"{self._foreign} lines were not UTF-8 and were read as Windows-1252.")

    def _on_line(self, number: int, line: bytes | None) -> Iterator[Record]:
        raise NotImplementedError

    def _finish(self) -> Iterator[Record]:
        return iter(())

    def _decode(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            self._foreign += 1
            return decode_western(line)

    def _too_long(self, number: int) -> Record:
        reason = f"The line is longer than {self._limits.record_bytes >> 20} MB."
        return Record(0, number, "", refusal=Refusal("", reason, "Send one record a line."))


def decode_western(data: bytes) -> str:
    """Decodes Windows-1252; ISO 8859-1 where a byte is not defined in it."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")
