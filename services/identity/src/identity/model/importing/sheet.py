"""Reading a file of people as spreadsheets export it: encoding, separator, columns, lines."""

import csv
import io
from dataclasses import dataclass, field

from pydantic import BaseModel
from servicekit.errors import FieldProblem, Invalid

PLAIN_COLUMNS = {
    "slug": "slug",
    "person": "slug",
    "display_name": "display_name",
    "name": "display_name",
    "email": "email",
    "e-mail": "email",
    "language": "language",
    "kind": "kind",
    "active": "active",
    "login": "login",
    "org_path": "org_path",
    "hire_date": "hire_date",
    "roles": "roles",
    "role": "roles",
    "valid_from": "valid_from",
    "since": "valid_from",  # the name in older files
}
PREFIXES = ("external_id:", "attribute:")
MAX_COLUMNS = 200
MAX_CELL_CHARACTERS = 5_000
"""The most characters in a cell."""
MAX_LINES = 200_000
"""The most lines in a file, empty ones included."""
_IDENTIFYING = ("slug", "email", "login")


class RejectedLine(BaseModel):
    """`line` counts from 1, the header included, as a text editor counts."""

    line: int
    field: str
    value: str = ""
    reason: str
    cure: str


class IgnoredColumn(BaseModel):
    """A column whose name is not known, with the names that are."""

    column: str
    cure: str


@dataclass(frozen=True)
class SheetLine:
    """A line. `number` counts from 1, the header included."""

    number: int
    cells: dict[str, str]
    """The stripped text of each cell that is not empty, by column."""


@dataclass
class Sheet:
    """A file as read: the known columns, the readable lines, and what was left out."""

    columns: list[str]
    lines: list[SheetLine] = field(default_factory=list[SheetLine])
    rejected: list[RejectedLine] = field(default_factory=list[RejectedLine])
    ignored: list[IgnoredColumn] = field(default_factory=list[IgnoredColumn])


def read_sheet(data: bytes) -> Sheet:
    """Reads CSV separated by comma, semicolon or tab, in UTF-8 with or without BOM, UTF-16 with BOM, or Windows-1252. Lines that
    cannot be read are rejected one by one. Raises Invalid without a usable header, and for more than MAX_LINES lines."""
    # NUL makes the csv module reject the file; another control character makes us reject one line.
    text = _decode(data).replace("\x00", "\x01")
    start = text.partition("\n")[0]
    separator = max(",;\t", key=start.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = next(reader, list[str]())
    except csv.Error as error:
        raise _no_header(f"the header cannot be read: {error}") from error
    if len(header) > MAX_COLUMNS:
        raise _no_header(f"the header has {len(header):,} columns; at most {MAX_COLUMNS} are taken")
    sheet = Sheet(columns=[])
    names = [_column(name, sheet) for name in header]
    sheet.columns = [name for name in names if name]
    _check_header(sheet)
    while True:
        first = reader.line_num + 1
        if first > MAX_LINES:
            cure = "split the file"
            problem = FieldProblem(problem=f"it has more than {MAX_LINES:,} lines", cure=cure)
            raise Invalid("too-many-lines", f"The file was not imported: {problem.problem}.", errors=[problem])
        try:
            row = next(reader)
        except StopIteration:
            return sheet
        except csv.Error as error:
            cure = "put text with quotes or line breaks into double quotes, and double the quotes within"
            sheet.rejected.append(RejectedLine(line=first, field="", reason=f"cannot be read: {error}", cure=cure))
            continue
        _add_line(sheet, names, row, first)


def _add_line(sheet: Sheet, names: list[str], row: list[str], number: int) -> None:
    if not any(cell.strip() for cell in row):
        return
    if len(row) > len(names) and any(cell.strip() for cell in row[len(names) :]):
        reason = f"it has {len(row)} fields where the header has {len(names)}"
        cure = "put text that holds the separator into double quotes"
        sheet.rejected.append(RejectedLine(line=number, field="", reason=reason, cure=cure))
        return
    long = next(
        (name for name, cell in zip(names, row, strict=False) if name and len(cell) > MAX_CELL_CHARACTERS), None
    )
    if long:
        reason = f"it has more than {MAX_CELL_CHARACTERS:,} characters"
        sheet.rejected.append(RejectedLine(line=number, field=long, reason=reason, cure="write it shorter"))
        return
    cells = {name: cell.strip() for name, cell in zip(names, row, strict=False) if name and cell.strip()}
    sheet.lines.append(SheetLine(number, cells))


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _column(raw: str, sheet: Sheet) -> str:
    """The column's canonical name; empty when it is ignored. Adds it to the sheet. Raises Invalid for a column that occurs
    twice."""
    name = raw.strip()
    folded = name.casefold()
    known = PLAIN_COLUMNS.get(folded.replace(" ", "_"), "")
    for prefix in PREFIXES:
        if folded.startswith(prefix) and folded.removeprefix(prefix).strip():
            known = prefix + folded.removeprefix(prefix).strip()
    if known and known in sheet.columns:
        raise _no_header(f"the column `{known}` is there twice")
    if known:
        sheet.columns.append(known)
    elif name:
        cure = (
            f"known columns: {', '.join(sorted(set(PLAIN_COLUMNS.values())))}, external_id:<source>, attribute:<name>"
        )
        sheet.ignored.append(IgnoredColumn(column=name[:80], cure=cure))
    return known


def _check_header(sheet: Sheet) -> None:
    if not any(name in _IDENTIFYING or name.startswith("external_id:") for name in sheet.columns):
        raise _no_header("no column says who a line is about")


def _no_header(problem: str) -> Invalid:
    cure = (
        "begin the file with a header such as: display_name,email,org_path,external_id:<source>,hire_date,roles,login"
    )
    return Invalid(
        "unusable-header", f"The file was not imported: {problem}.", errors=[FieldProblem(problem=problem, cure=cure)]
    )
