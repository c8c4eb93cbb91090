"""Limits on forms and answers, so that validation takes bounded time."""

import json
from typing import Any

from servicekit.json_types import is_array, is_object

DEFINITION_BYTES = 200_000
ANSWERS_BYTES = 200_000
MAX_DEPTH = 24
MAX_QUESTIONS = 300
MAX_LIST_ITEMS = 1_000
MAX_PATTERN_CHARS = 200
MAX_PATTERNS = 20
"""Different patterns in one form: compiling one may take 0.2 s."""
MAX_SCHEMA_NODES = 5_000
MAX_EXPANDED_NODES = 10_000
MAX_EXPANDED_DEPTH = 60
MAX_PROBLEMS = 100


def encode_canonical_json(value: Any) -> bytes:
    """A JSON value as canonical UTF-8: sorted keys, no spaces. Raises ValueError for NaN, infinities and lone surrogates."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def shape_problem(value: Any, *, max_bytes: int, depth: int = MAX_DEPTH) -> str | None:
    """Why a JSON value exceeds the limits, or None. Iterative, so that nesting cannot exhaust the stack."""
    open_values: list[tuple[Any, int]] = [(value, 1)]
    while open_values:
        each, level = open_values.pop()
        if level > depth:
            return f"it is nested more than {depth} levels deep"
        if is_object(each):
            open_values.extend((part, level + 1) for part in each.values())
            open_values.extend((key, level) for key in each)
        elif is_array(each):
            if len(each) > MAX_LIST_ITEMS:
                return f"a list holds more than {MAX_LIST_ITEMS} items"
            open_values.extend((part, level + 1) for part in each)
        elif isinstance(each, str) and "\x00" in each:
            return "a text holds a NUL character"
        elif isinstance(each, int) and abs(each) > 1 << 63:
            return "a number is larger than 2^63"
    try:
        size = len(encode_canonical_json(value))
    except ValueError as error:
        return f"it cannot be written as JSON: {error}"
    return f"it has {size} bytes, more than {max_bytes}" if size > max_bytes else None
