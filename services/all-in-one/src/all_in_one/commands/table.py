"""Formats responses of the API as lines for a terminal."""

import json
from typing import Any

from rich.cells import cell_len

from all_in_one.commands.client import fail


def lines_of(body: Any, fields: list[str]) -> list[str]:
    """A line for each item with these fields in columns; one line when the body is not a list. `title.en` is a nested
    field; null is `-`. Exits with status 1 and the existing names for an unknown field."""
    items = body["items"] if isinstance(body, dict) and isinstance(body.get("items"), list) else body
    rows = [
        [_text(_value(each, field)) for field in fields] for each in (items if isinstance(items, list) else [items])
    ]
    widths = [max((cell_len(row[column]) for row in rows), default=0) for column in range(len(fields))]
    padded = ([text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def _value(item: Any, field: str) -> Any:
    found = item
    for step in field.split("."):
        if found is None:
            return None
        if not isinstance(found, dict) or step not in found:
            names = ", ".join(found) if isinstance(found, dict) else "none below it"
            fail(f"There is no field `{field}`. Fields: {names}.")
        found = found[step]
    return found


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
