"""Paths into JSON records: `customer.language`, `calls.0.id`, `parts[role=agent].metrics[name=tTalk].value`."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import JsonValue

from ingest.model.refusal import Refusal

MAX_LEGS = 100
_STEP = re.compile(r"([^.\[\]]+)((?:\[[^\[\]=]+=[^\[\]]*\])*)(?:\.|$)")
_FILTER = re.compile(r"\[([^\[\]=]+)=([^\[\]]*)\]")

MISSING = object()
Filter = tuple[str, str]
Step = tuple[str, tuple[Filter, ...]]


@lru_cache(maxsize=4096)
def parse_path(path: str) -> tuple[Step, ...]:
    """The steps of a path: a name, and the filters that an element of a list must match."""
    found: list[Step] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return ((path, ()),)  # not a path: the name of a column that contains brackets or dots
        found.append((step[1], tuple((name, value) for name, value in _FILTER.findall(step[2]))))
        at = step.end()
    return tuple(found)


def look_up(record: dict[str, Any], path: str) -> Any:
    """The value at the path; the first element where filters match several; MISSING where there is none."""
    value: JsonValue = record
    for name, filters in parse_path(path):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return MISSING
        if filters:
            value = next(_filter_elements(value, filters), None)
            if value is None:
                return MISSING
    return value


def _filter_elements(value: JsonValue, filters: tuple[Filter, ...]) -> Iterator[dict[str, JsonValue]]:
    for element in value if isinstance(value, list) else [value]:
        if isinstance(element, dict) and all(_text(element.get(name)) == wanted for name, wanted in filters):
            yield element


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def explode_record(record: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """A copy of the record for each element that the path chooses of its list. A copy lacks the other chosen elements and
    has all else. Returns the record itself when the path chooses at most one element. Raises Refusal for more than
    `MAX_LEGS`."""
    *above, (name, filters) = parse_path(path)
    if any(filters for _, filters in above):
        return [record]
    holder: JsonValue = record
    for step, _ in above:
        holder = holder.get(step) if isinstance(holder, dict) else None
    elements = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(elements, list):
        return [record]
    chosen = [at for at, each in enumerate(elements) if not filters or any(_filter_elements(each, filters))]
    if len(chosen) < 2:
        return [record]
    if len(chosen) > MAX_LEGS:
        reason = f"The list has {len(chosen):,} elements of this kind; a record has at most {MAX_LEGS} legs."
        raise Refusal(path, reason, "Check `each` in the mapping.")
    taken = set(chosen)
    made: list[dict[str, Any]] = []
    for one in chosen:
        copy = dict(record)
        inner = copy
        for step, _ in above:
            inner[step] = dict(inner[step])
            inner = inner[step]
        inner[name] = [each for at, each in enumerate(elements) if at == one or at not in taken]
        made.append(copy)
    return made
