"""Cursors of lists that are ordered by time."""

from datetime import datetime
from typing import Any
from uuid import UUID

from servicekit import PageQuery
from servicekit.errors import Invalid


def time_and_id(page: PageQuery) -> tuple[datetime, UUID] | None:
    """Raises Invalid for the cursor of another list."""
    return None if page.after is None else _time_and_id(page.after)


def time_id_and_name(page: PageQuery) -> tuple[datetime, UUID, str] | None:
    """Raises Invalid for the cursor of another list."""
    return None if page.after is None else (*_time_and_id(page.after[:-1]), str(page.after[-1]))


def name(page: PageQuery) -> str | None:
    return str(page.after[0]) if page.after else None


def _time_and_id(after: list[Any]) -> tuple[datetime, UUID]:
    try:
        at, identifier = after
        return datetime.fromisoformat(at), UUID(identifier)
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid("bad-cursor", "`after` is not a cursor of this list.") from error
