"""Records of a body, and the limits of a body."""

from dataclasses import dataclass
from typing import Any

from ingest.model.refusal import Refusal

RESEND_CURE = "Make sure that the file was written to its end, and send it again."


class CsvCells(dict[str, Any]):
    """The cells of a CSV row by column: unlike an object of JSON, it has all the columns of its file."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one body; sizes in bytes. `ratio` (inflated to sent) is checked after `ratio_after_bytes` inflated bytes.
    `record_values` counts the values and names of one JSON record: the analysis of a call of three hours has about 100,000.
    `gzip_members`: concatenated gzip files."""

    record_bytes: int = 8 << 20
    record_values: int = 250_000
    inflated_bytes: int = 8 << 30
    ratio: int = 300
    ratio_after_bytes: int = 64 << 20
    row_chars: int = 1 << 20
    lines_of_a_row: int = 200
    columns: int = 2000
    records: int = 5_000_000
    blank_lines: int = 1_000_000
    gzip_members: int = 100_000


@dataclass(slots=True)
class Record:
    """A record of a body. `number` and `line` count from 1. Exactly one of `value` and `refusal` is set until the record is
    read. `is_whole_body`: the refusal is of the body, of which nothing more is read."""

    number: int
    line: int
    raw: str
    value: dict[str, Any] | None = None
    refusal: Refusal | None = None
    is_whole_body: bool = False
