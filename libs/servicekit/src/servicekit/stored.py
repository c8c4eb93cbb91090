"""Parsing of stored rows and documents that a later version of the program may no longer understand.

One unreadable row must not stop a reader, nor hide the tenant's other rows. It is skipped and logged until somebody
saves it again.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from servicekit.errors import Conflict

Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")

log = logging.getLogger("uplift.stored")


def parse_stored(name: str, parse: Callable[[Raw], Parsed], raw: Raw) -> Parsed | None:
    """`parse(raw)`; None, and an error in the log under `name`, when that raises ValueError (pydantic's ValidationError is
    one)."""
    try:
        return parse(raw)
    except ValueError as error:
        log.error("%s cannot be read any more and is passed over, save it anew: %s", name, str(error)[:500])
        return None


def require_stored(name: str, parse: Callable[[Raw], Parsed], raw: Raw) -> Parsed:
    """As `parse_stored`, for a request for this one row. Raises Conflict instead of returning None."""
    found = parse_stored(name, parse, raw)
    if found is None:
        raise Conflict("stored-unreadable", f"What is stored as {name} cannot be read any more. Save it anew.")
    return found


def parse_all_stored(name: str, parse: Callable[[Any], Parsed], raws: Iterable[Any]) -> list[Parsed]:
    """The rows that can be parsed, in order; the others are logged under `name`."""
    return [each for raw in raws if (each := parse_stored(name, parse, raw)) is not None]
