"""Reads CSV as records."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ingest.model.payload.layout import DEFAULT_LAYOUT, MAX_CHARS_ABOVE_HEADER, MAX_LINES_ABOVE_HEADER, Layout
from ingest.model.payload.lines import LineReader
from ingest.model.payload.record import CsvCells, Limits, Record
from ingest.model.refusal import Refusal

ColumnCheck = Callable[[Sequence[str], str], None]
"""Called with the columns and their separator. Raises Refusal."""


class CsvReader(LineReader):
    """Reads CSV with a header, or with the columns that the layout names. Values are texts, which are not converted. Quoted
    cells may contain line breaks. Lines above the header, such as the title of a report, are skipped."""

    def __init__(
        self,
        limits: Limits,
        notes: list[str],
        *,
        line: int = 1,
        layout: Layout = DEFAULT_LAYOUT,
        check: ColumnCheck | None = None,
    ) -> None:
        super().__init__(limits, notes, line=line)
        self._check = check
        self._layout = layout
        self._known_by = layout.header_columns
        self._above: list[tuple[int, str]] = []
        self._declared = False
        self._delimiter = ""
        self._names: list[str] = []
        self._rows = False
        self._row_start_line = 0
        self._open: list[str] = []
        self._size = 0
        self._quoted = False

    @property
    def pending(self) -> int:
        """Bytes and characters that wait for the end of their line or row."""
        return super().pending + self._size

    def _on_line(self, number: int, line: bytes | None) -> Iterator[Record]:
        if line is None:
            if not self._names:
                reason = (
                    f"The first line, which names the columns, is longer than {self._limits.record_bytes >> 20} MB."
                )
                raise Refusal("", reason, "Send JSON, NDJSON or CSV, a record a line.")
            self._begin_row()
            yield self._too_long(number)
            return
        yield from self._add(number, self._decode(line))

    def _begin_row(self) -> None:
        self._open, self._size = [], 0
        self._quoted = self._splitter.emit_empty = False

    def _add(self, number: int, text: str) -> Iterator[Record]:
        """Adds a line to the current row, and reads the row when it is complete."""
        if not self._open:
            self._row_start_line = number
        if not self._delimiter and (not text.strip() or self._detect_separator(text)):
            return
        self._quoted = self._splitter.emit_empty = self._is_quote_open(text)
        self._open.append(text)
        self._size += len(text)
        if not self._quoted:
            yield from self._read_row()
        elif len(self._open) >= self._limits.lines_of_a_row or self._size > self._limits.row_chars:
            yield from self._unclosed()

    def _is_quote_open(self, text: str) -> bool:
        """Whether a quotation is open at the end of this line. Reads each character once, however many lines the quotation
        spans."""
        at, quoted = 0, self._quoted
        opens = self._delimiter + '"'
        if not quoted and text.startswith('"'):
            at, quoted = 1, True
        while True:
            at = text.find('"' if quoted else opens, at)
            if at < 0:
                return quoted
            if not quoted:
                at, quoted = at + len(opens), True
            elif text.startswith('""', at):
                at += 2
            else:
                at, quoted = at + 1, False

    def _read_row(self) -> Iterator[Record]:
        text = "\n".join(self._open)
        try:
            cells = self._cells(text)
        except csv.Error as error:
            yield from self._unclosed() if len(self._open) > 1 else [self._refused(text, str(error))]
            return
        self._begin_row()
        if cells:
            yield from self._row(text, cells)
        else:
            self._count_blank(1)

    def _detect_separator(self, text: str) -> bool:
        """Whether the line only declares the separator (`sep=;`). Otherwise detects the separator from the line."""
        if text.lower().startswith("sep=") and len(text.strip()) == 5:
            self._delimiter, self._declared = text.strip()[-1], True
            return True
        bare = re.sub(r'"[^"]*"', "", text)
        self._delimiter = max(",;\t|", key=bare.count)
        return False

    def _cells(self, text: str) -> list[str]:
        rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        return rows[0] if rows and any(cell.strip() for cell in rows[0]) else []

    def _row(self, text: str, cells: list[str]) -> Iterator[Record]:
        if not self._names:
            names = self._layout.headerless_columns(cells)
            if names is None and not self._known_by <= {cell.strip() for cell in cells}:
                yield from self._pass_over(text)
                return
            self._begin(names or self._header(cells))
            if names is None and self._check is not None:
                self._check(self._names, self._delimiter)
            if names is None or [cell.strip() for cell in cells] == names:
                return
        self._rows = True
        if len(cells) > len(self._names) and not any(cell.strip() for cell in cells[len(self._names) :]):
            cells = cells[: len(self._names)]  # a separator at the end of the line
        if len(cells) != len(self._names):
            reason = f"The row has {len(cells)} cells, the header has {len(self._names)}."
            yield Record(
                0, self._row_start_line, text, refusal=Refusal("", reason, "Quote cells that hold the separator.")
            )
        elif "\0" in text:
            refusal = Refusal("", "The text holds NUL characters.", "Remove them from the row.")
            yield Record(0, self._row_start_line, text.replace("\0", "␀"), refusal=refusal)
        else:
            yield Record(0, self._row_start_line, text, CsvCells(zip(self._names, cells, strict=True)))

    def _begin(self, names: list[str]) -> None:
        self._names = names
        if self._delimiter != "," and not self._declared:
            self._notes.append(f"The columns are separated by {self._delimiter!r}.")
        if self._above:
            self._notes.append(f"{len(self._above)} lines above the header were passed over.")
            self._above = []

    def _pass_over(self, text: str) -> Iterator[Record]:
        """A line that may stand above the header."""
        self._above.append((self._row_start_line, text))
        if not self._declared:
            self._delimiter = ""  # a title may have another separator than the rows
        if (
            len(self._above) >= MAX_LINES_ABOVE_HEADER
            or sum(len(line) for _, line in self._above) > MAX_CHARS_ABOVE_HEADER
        ):
            yield from self._read_above()

    def _read_above(self) -> Iterator[Record]:
        """Reads the skipped lines again when no header with the known columns was found: the first line is the header
        then, and the column check names what it lacks."""
        self._known_by, above, self._above = frozenset[str](), self._above, []
        for self._row_start_line, text in above:
            if not self._delimiter:
                self._detect_separator(text)
            try:
                cells = self._cells(text)
            except csv.Error as error:
                yield self._refused(text, str(error))
                continue
            if cells:
                yield from self._row(text, cells)

    def _header(self, cells: list[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        while len(names) > 1 and not names[-1]:
            names.pop()
        if any(_is_binary(name) for name in names):
            raise _neither()
        if len(names) > self._limits.columns:
            reason = f"The header names {len(names):,} columns; at most {self._limits.columns:,} are read."
            raise Refusal("", reason, "Leave out the columns that no mapping reads.")
        for name, times in Counter(names).items():
            if not name:
                raise Refusal("", "A column of the header has no name.", "Name every column in the first line.")
            if times > 1:
                raise Refusal(name[:100], "Two columns bear this name.", "Name every column once.")
        return names

    def _refused(self, text: str, error: str) -> Record:
        self._begin_row()
        if "universal-newline" in error:  # Python's message, for callers that open files
            error = "a carriage return stands inside a cell that is not quoted"
        refusal = Refusal("", f"This is not CSV: {error}.", "Mend the row.")
        if not self._names:
            raise _neither() if _is_binary(text) else refusal
        return Record(0, self._row_start_line, text, refusal=refusal)

    def _unclosed(self) -> Iterator[Record]:
        """Refuses the line that opens the quotation, and reads the lines after it again, each on its own. A quotation that
        one of these opens again has fewer lines, so that this ends."""
        first, *others = self._open
        number = self._row_start_line
        self._begin_row()
        refusal = Refusal("", "A quotation mark is opened and never closed.", 'Write a quotation mark in a cell as "".')
        if not self._names:
            raise refusal
        yield Record(0, number, first, refusal=refusal)
        for offset, text in enumerate(others, 1):
            yield from self._add(number + offset, text)

    def _finish(self) -> Iterator[Record]:
        while self._open:
            yield from self._unclosed()
        yield from self._read_above()
        if self._names and not self._rows:
            self._notes.append("The first line was read as the header of a CSV file; no row follows it.")


def _is_binary(text: str) -> bool:
    return any(ord(char) < 32 for char in text if char not in "\n\r\t")


def _neither() -> Refusal:
    return Refusal("", "This is neither JSON nor CSV text.", "Send JSON, NDJSON or CSV, plain or gzip.")
