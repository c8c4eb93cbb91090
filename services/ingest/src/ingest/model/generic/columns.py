"""Checks that a CSV file has the columns of a mapping: once for the file, not for each row."""

from collections.abc import Sequence
from difflib import get_close_matches

from ingest.model.connector import list_columns
from ingest.model.generic.mapping import FieldMapping
from ingest.model.refusal import Refusal

_REQUIRED = ("contact", "started", "channel")
_MAX_COMPARED = 200
_MAX_SUGGESTIONS = 5
_SEPARATORS = ",;\t|:^~"
_NAMES_OF = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def required_columns(mapping: FieldMapping) -> list[str]:
    """The columns without which a row is refused; those of the required fields come first."""
    names = sorted(mapping.fields, key=lambda name: _REQUIRED.index(name) if name in _REQUIRED else len(_REQUIRED))
    entries = [*(mapping.fields[name] for name in names), *mapping.attributes.values()]
    return list(dict.fromkeys(column for entry in entries for column in entry.columns))


def check_columns(mapping: FieldMapping, columns: Sequence[str], separator: str) -> None:
    """Raises Refusal when a column of the mapping is missing. A file without header is not checked."""
    if mapping.numbered or mapping.columns:
        return
    there = set(columns)
    missing = [name for name in required_columns(mapping) if name not in there]
    if not missing:
        return
    nearest = [
        f"`{name}` is perhaps `{near}`" for name in missing[:_MAX_SUGGESTIONS] if (near := _nearest(name, columns))
    ]
    reason = (
        f"The mapping wants {list_columns(missing)}, which the file does not have. "
        f"Its columns, separated by {_NAMES_OF.get(separator, repr(separator))}: {list_columns(columns)}."
    )
    cure = "Mend the mapping of the source or the first line of the file, then send the file again."
    if other := _other_separator(columns, separator):
        cure = f"The cells seem to be separated by {other!r}: begin the file with the line `sep={other}`, or write it with commas."
    elif nearest:
        cure = f"{', '.join(nearest)}. {cure}"
    raise Refusal(missing[0][:100], reason, cure)


def _nearest(name: str, columns: Sequence[str]) -> str | None:
    plain = {_normalize(column[:100]): column for column in reversed(columns[:_MAX_COMPARED])}
    found = get_close_matches(_normalize(name[:100]), plain, n=1, cutoff=0.6)
    return plain[found[0]][:60] if found else None


def _normalize(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


def _other_separator(columns: Sequence[str], separator: str) -> str | None:
    """The separator that the file seems to use instead of `separator`: the header is one column, whose name contains it."""
    if len(columns) > 1 or not columns:
        return None
    others = [char for char in _SEPARATORS if char != separator and char in columns[0]]
    return max(others, key=columns[0].count) if others else None
