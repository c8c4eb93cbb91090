"""How large a form and its answers may be, so that checking them takes bounded time."""

import json
from typing import Any

DEFINITION_BYTES = 200_000
ANSWERS_BYTES = 200_000
DEPTH = 24
QUESTIONS = 300
ITEMS = 1_000
PATTERN_LENGTH = 200
PATTERNS = 20
"""Of one form: compiling one may take a fifth of a second."""
SCHEMA_NODES = 5_000
EXPANDED_NODES = 10_000
EXPANDED_DEPTH = 60
PROBLEMS = 100


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value. Raises ValueError for NaN, infinities and lone surrogates."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def shape_problem(value: Any, *, most_bytes: int, depth: int = DEPTH) -> str | None:
    """Why a JSON value is more than we take, or None. Walks without recursion, so that depth cannot hurt."""
    open_values = [(value, 1)]
    while open_values:
        each, level = open_values.pop()
        if level > depth:
            return f"it is nested more than {depth} levels deep"
        if isinstance(each, dict):
            open_values.extend((part, level + 1) for part in each.values())
            open_values.extend((key, level) for key in each)
        elif isinstance(each, list):
            if len(each) > ITEMS:
                return f"a list holds more than {ITEMS} items"
            open_values.extend((part, level + 1) for part in each)
        elif isinstance(each, str) and "\x00" in each:
            return "a text holds a NUL character"
        elif isinstance(each, int) and abs(each) > 1 << 63:
            return "a number is larger than 2^63"
    try:
        size = len(canonical(value))
    except ValueError as error:
        return f"it cannot be written as JSON: {error}"
    return f"it has {size} bytes, more than {most_bytes}" if size > most_bytes else None
