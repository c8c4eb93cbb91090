"""What a connector is: how the records of one vendor's phone system are configured and read.

A new connector is a package `model/<vendor>/` with a `CONNECTOR`, its entry in `registry.py`, and its test. The API, the
configuration's schema, the kinds of records and docs/vendors.md follow from the registry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal

from msgspec import Struct

from ingest.model.field_readers import ReadContext
from ingest.model.parts import Part, StateNotice
from ingest.model.payload.csv_text import ColumnCheck
from ingest.model.payload.layout import DEFAULT_LAYOUT, Layout

Setting = Literal["options", "mapping"]
ReadRecord = Callable[[dict[str, Any], ReadContext], Part | StateNotice]
"""Returns what a record says. Raises Refusal, whose field is the vendor's own name of what is wrong."""

_MAX_LISTED_COLUMNS = 20


@dataclass(frozen=True)
class RecordFormat:
    """How the records of one source are read.

    `zone` is assumed for times without an offset. `open_without_end`: a record without end is of a call that still goes on.
    `check_columns` raises Refusal for the columns of a CSV file of which no row could be taken; None: the vendor writes no
    CSV. `unstamped_id_column` is the column of the contact's id where records do not say when they were written: then a
    record may not only correct an earlier one, but describe another part of the call. `layout` is the form of its files.
    """

    read: ReadRecord
    zone: tzinfo | None = None
    open_without_end: bool = False
    check_columns: ColumnCheck | None = None
    unstamped_id_column: str | None = None
    layout: Layout = DEFAULT_LAYOUT


@dataclass(frozen=True)
class Connector:
    """Reads the records of one vendor.

    `summary` says in one line, for docs/vendors.md, which records it reads. `config` is the struct of its configuration,
    which a source holds under `setting`. `configure` checks a configuration and returns how records are read; it raises
    Refusal, whose field is a JSON pointer into the configuration. `events` are the types of its contact events.
    """

    vendor: str
    summary: str
    config: type[Struct]
    configure: Callable[[dict[str, Any]], RecordFormat]
    setting: Setting = "options"
    events: frozenset[str] = frozenset()


def list_columns(columns: Sequence[str]) -> str:
    """The first columns of a file, as a message shows them."""
    shown = ", ".join(f"`{name[:40]}`" for name in columns[:_MAX_LISTED_COLUMNS])
    more = len(columns) - _MAX_LISTED_COLUMNS
    return shown if more <= 0 else f"{shown} and {more} more"
