"""Bytes to lines, each decoded on its own, so that one bad byte spoils one line."""

from collections.abc import Iterator

from ingest.model.payload.record import Limits, Record
from ingest.model.refusal import Refusal


class Splitter:
    """Splits bytes into lines. A line beyond the limit is skipped and given as None."""

    def __init__(self, limit: int) -> None:
        self.line = 1
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | None]]:
        first, *others = data.split(b"\n")
        self._hold(first)
        for piece in others:
            yield self._take()
            self._hold(piece)

    def close(self) -> Iterator[tuple[int, bytes | None]]:
        if self._size:
            yield self._take()

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._held.append(piece)
        else:
            self._held.clear()

    def _take(self) -> tuple[int, bytes | None]:
        line = b"".join(self._held) if self._size <= self._limit else None
        number = self.line
        self._held.clear()
        self._size = 0
        self.line += 1
        return number, line


class LineReader:
    def __init__(self, limits: Limits, notes: list[str]) -> None:
        self._limits = limits
        self._notes = notes
        self._splitter = Splitter(limits.record)
        self._foreign = 0

    @property
    def line(self) -> int:
        return self._splitter.line

    def feed(self, data: bytes) -> Iterator[Record]:
        for number, line in self._splitter.feed(data):
            yield from self._on_line(number, line)

    def close(self) -> Iterator[Record]:
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
            return western(line)

    def _too_long(self, number: int) -> Record:
        reason = f"The line is longer than {self._limits.record >> 20} MB."
        return Record(0, number, "", refusal=Refusal("", reason, "Send one record a line."))


def western(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")
