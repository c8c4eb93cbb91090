"""What a source says of the form of its files, where it is not a header, rows, and a record a call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.model.payload.record import Record
from ingest.model.refusal import Refusal

MAX_LINES_ABOVE_HEADER = 20
MAX_CHARS_ABOVE_HEADER = 1 << 16
"""Lines of a report, at most, above the header of its rows, and the characters in them."""

SkipPredicate = Callable[[dict[str, Any]], bool]
RecordSplitter = Callable[[dict[str, Any]], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Layout:
    """`columns` are the names of a file without header, `numbered` that its columns go by their number, from 0. `known_by`
    are columns that the header has: what stands above it is passed over. `skip` tells rows and
    objects that are no calls. `split` makes several records of one JSON object; it may raise Refusal."""

    columns: tuple[str, ...] = ()
    has_numbered_columns: bool = False
    header_columns: frozenset[str] = frozenset()
    skip: SkipPredicate | None = None
    split: RecordSplitter | None = None

    def headerless_columns(self, cells: Sequence[str]) -> list[str] | None:
        """The names of the columns of a file that has no header, by its first row."""
        if self.columns:
            return list(self.columns)
        return [str(number) for number in range(len(cells))] if self.has_numbered_columns else None


DEFAULT_LAYOUT = Layout()


@dataclass
class RecordFilter:
    """Hands on the records of a body that are calls, and counts the others."""

    layout: Layout
    skipped: int = 0
    _plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self._plain = self.layout.skip is None and self.layout.split is None

    def filter(self, record: Record) -> Iterator[Record]:
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
        if not self.skipped:
            return []
        return [f"{self.skipped:,} records were passed over, as the mapping says under `skip`."]
