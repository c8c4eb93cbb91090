"""What was stored once and cannot be read any more, since a later version of the program asks for another shape.

It must not keep a reader from what comes next, nor its tenant from everything else that is stored: it is passed over,
and the log says so until it is saved anew.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from servicekit.errors import Conflict

Raw = TypeVar("Raw")
Read = TypeVar("Read")

log = logging.getLogger("uplift.stored")


def readable(what: str, read: Callable[[Raw], Read], raw: Raw) -> Read | None:
    """`read(raw)`; None, and an error in the log, when that raises ValueError, as pydantic's ValidationError is.
    `what` names the thing in the log."""
    try:
        return read(raw)
    except ValueError as error:
        log.error("%s cannot be read any more and is passed over, save it anew: %s", what, str(error)[:500])
        return None


def require_readable(what: str, read: Callable[[Raw], Read], raw: Raw) -> Read:
    """For whoever asks for just this one. Raises Conflict where `readable` is None."""
    found = readable(what, read, raw)
    if found is None:
        raise Conflict("stored-unreadable", f"What is stored as {what} cannot be read any more. Save it anew.")
    return found


def all_readable(what: str, read: Callable[[Any], Read], raws: Iterable[Any]) -> list[Read]:
    """Those that can be read, in order."""
    return [each for raw in raws if (each := readable(what, read, raw)) is not None]
