"""The layout of a source's files, where it is not a header, rows, and one record for each call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.model.payload.record import Record
from ingest.model.refusal import Refusal

MAX_LINES_ABOVE_HEADER = 20
MAX_CHARS_ABOVE_HEADER = 1 << 16
"""The most lines of a report above the header of its rows, and the most characters in them."""

SkipPredicate = Callable[[dict[str, Any]], bool]
RecordSplitter = Callable[[dict[str, Any]], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Layout:
    """The layout of a file. `columns`: the names of the columns of a file without header; `has_numbered_columns`: its columns
    are named by number, from 0. `header_columns`: columns that the header has; lines above it are skipped. `skip`: whether
    a row or object is no call. `split` makes several records of a JSON object; it may raise Refusal."""

    columns: tuple[str, ...] = ()
    has_numbered_columns: bool = False
    header_columns: frozenset[str] = frozenset()
    skip: SkipPredicate | None = None
    split: RecordSplitter | None = None

    def headerless_columns(self, cells: Sequence[str]) -> list[str] | None:
        """The names of the columns of a file without header, whose first row has these cells; None: it has a header."""
        if self.columns:
            return list(self.columns)
        return [str(number) for number in range(len(cells))] if self.has_numbered_columns else None


DEFAULT_LAYOUT = Layout()


@dataclass
class RecordFilter:
    """Skips and splits the records of a body as its layout says. `skipped`: how many were skipped."""

    layout: Layout
    skipped: int = 0
    _plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self._plain = self.layout.skip is None and self.layout.split is None

    def filter(self, record: Record) -> Iterator[Record]:
        """The records that this record becomes: none, itself, or several."""
        if self._plain or record.value is None:
            yield record
        elif self.layout.skip is not None and self.layout.skip(record.value):
            self.skipped += 1
        elif self.layout.split is None or not record.raw.startswith("{"):
            yield record
        else:
            yield from self._parts(record, record.value, self.layout.split)

    def _parts(self, record: Record, value: dict[str, Any], split: RecordSplitter) -> Iterator[Record]:
        try:
            parts = split(value)
        except Refusal as refusal:
            yield Record(0, record.line, record.raw, refusal=refusal)
            return
        if len(parts) == 1:
            yield record
            return
        for part in parts:
            yield Record(0, record.line, msgspec.json.encode(part).decode(), part)

    def notes(self) -> list[str]:
        """A note on the skipped records, if there are any."""
        if not self.skipped:
            return []
        return [f"{self.skipped:,} records were passed over, as the mapping says under `skip`."]
