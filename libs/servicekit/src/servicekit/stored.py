"""Parses stored rows and documents that a newer release may no longer accept.

One invalid row must not stop a reader or hide the tenant's other rows. It is skipped and logged until it is saved again.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from servicekit.errors import Conflict

Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")

log = logging.getLogger("uplift.stored")


def parse_stored(name: str, parse: Callable[[Raw], Parsed], raw: Raw) -> Parsed | None:
    """Returns `parse(raw)`. When that raises ValueError (or pydantic's ValidationError, which is one), logs an error that
    mentions `name` and returns None."""
    try:
        return parse(raw)
    except ValueError as error:
        log.error("%s cannot be read any more and is skipped; save it again: %s", name, str(error)[:500])
        return None


def require_stored(name: str, parse: Callable[[Raw], Parsed], raw: Raw) -> Parsed:
    """Like `parse_stored`, for a request for this one row: raises Conflict instead of returning None."""
    found = parse_stored(name, parse, raw)
    if found is None:
        raise Conflict("stored-unreadable", f"What is stored as {name} cannot be read any more. Save it anew.")
    return found


def parse_all_stored(name: str, parse: Callable[[Any], Parsed], raws: Iterable[Any]) -> list[Parsed]:
    """The rows that can be parsed, in order. The others are logged with `name`."""
    return [each for raw in raws if (each := parse_stored(name, parse, raw)) is not None]
