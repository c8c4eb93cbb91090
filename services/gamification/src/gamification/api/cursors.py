"""Cursors of lists that are ordered by time."""

from datetime import datetime
from uuid import UUID

from servicekit import PageQuery
from servicekit.errors import Invalid


def time_and_id(page: PageQuery) -> tuple[datetime, UUID] | None:
    """Raises Invalid for the cursor of another list."""
    if page.after is None:
        return None
    try:
        at, identifier = page.after
        return datetime.fromisoformat(at), UUID(identifier)
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid("bad-cursor", "`after` is not a cursor of this list.") from error


def place(page: PageQuery) -> int:
    """How many were shown before. Raises Invalid for the cursor of another list."""
    after = page.after or [0]
    if len(after) != 1 or not isinstance(after[0], int) or after[0] < 0:
        raise Invalid("bad-cursor", "`after` is not a cursor of this list.")
    return after[0]
