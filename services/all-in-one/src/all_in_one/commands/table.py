"""Answers of the API as lines, for whoever reads them on a terminal."""

import json
from typing import Any

from rich.cells import cell_len

from all_in_one.commands.client import fail


def lines_of(body: Any, fields: list[str]) -> list[str]:
    """These fields of each item, a line each, in columns; of a body that is no list, of itself. A field inside another
    is `title.en`; null is `-`. Fails with the names there are where one does not exist."""
    items = body["items"] if isinstance(body, dict) and isinstance(body.get("items"), list) else body
    rows = [
        [_text(_value(each, field)) for field in fields] for each in (items if isinstance(items, list) else [items])
    ]
    widths = [max((cell_len(row[place]) for row in rows), default=0) for place in range(len(fields))]
    padded = ([text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def _value(item: Any, field: str) -> Any:
    found = item
    for step in field.split("."):
        if found is None:
            return None
        if not isinstance(found, dict) or step not in found:
            there = ", ".join(found) if isinstance(found, dict) else "none below it"
            fail(f"There is no field `{field}`. Fields: {there}.")
        found = found[step]
    return found


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
