"""What a source says of the form of its files, where it is not a header, rows, and a record a call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.model.payload.record import Record
from ingest.model.refusal import Refusal

MOST_ABOVE = 20
LONGEST_ABOVE = 1 << 16
"""Lines of a report, at most, above the header of its rows, and the characters in them."""

Judge = Callable[[dict[str, Any]], bool]
Splitter = Callable[[dict[str, Any]], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Layout:
    """`columns` are the names of a file without header, `numbered` that its columns go by their number, from 0. `known_by`
    are columns that the header has: what stands above it is passed over. `skip` tells rows and
    objects that are no calls. `split` makes several records of one JSON object; it may raise Refusal."""

    columns: tuple[str, ...] = ()
    numbered: bool = False
    known_by: frozenset[str] = frozenset()
    skip: Judge | None = None
    split: Splitter | None = None

    def headless(self, cells: Sequence[str]) -> list[str] | None:
        """The names of the columns of a file that has no header, by its first row."""
        if self.columns:
            return list(self.columns)
        return [str(number) for number in range(len(cells))] if self.numbered else None


AS_IT_IS = Layout()


@dataclass
class Sieve:
    """Hands on the records of a body that are calls, and counts the others."""

    layout: Layout
    skipped: int = 0
    _plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self._plain = self.layout.skip is None and self.layout.split is None

    def of(self, record: Record) -> Iterator[Record]:
        if self._plain or record.value is None:
            yield record
        elif self.layout.skip is not None and self.layout.skip(record.value):
            self.skipped += 1
        elif self.layout.split is None or not record.raw.startswith("{"):
            yield record
        else:
            yield from self._parts(record, record.value, self.layout.split)

    def _parts(self, record: Record, value: dict[str, Any], split: Splitter) -> Iterator[Record]:
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
