"""Lists by pages, and their cursors."""

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from servicekit.errors import FieldProblem, Invalid

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """`next` is the cursor of the page after this one: pass it as `after`; null on the last page."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class PageQuery:
    """`after` are the values that the last page's cursor held."""

    limit: int
    after: list[Any] | None

    def place(self, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """What the cursor holds, each part read by its reader; None on the first page. Raises Invalid for the cursor of
        another list."""
        if self.after is None:
            return None
        try:
            return tuple(read(part) for read, part in zip(readers, self.after, strict=True))
        except (ValueError, TypeError, AttributeError) as error:
            raise _bad_cursor("the cursor of another list") from error


def page_query(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
) -> PageQuery:
    if after is None:
        return PageQuery(limit, None)
    try:
        raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
        if raw[:4] != _checksum(raw[4:]):
            raise ValueError("this is none of ours")
        values = json.loads(raw[4:])
    except ValueError as error:
        raise _bad_cursor("not a cursor") from error
    return PageQuery(limit, values)


def _bad_cursor(problem: str) -> Invalid:
    found = FieldProblem(pointer="/after", problem=problem, cure="pass the `next` of the page before")
    return Invalid("bad-cursor", "`after` is not a cursor of this list.", errors=[found])


def _checksum(values: bytes) -> bytes:
    """So that lists need not guard their queries against made-up cursors."""
    return zlib.crc32(values).to_bytes(4)


PageDep = Annotated[PageQuery, Depends(page_query)]


def page_of(rows: Sequence[Item], limit: int, cursor: Callable[[Item], list[Any]]) -> Page[Item]:
    """Makes a page of up to `limit` of the `limit + 1` rows that were fetched."""
    if len(rows) <= limit:
        return Page[Item](items=list(rows))
    values = json.dumps(cursor(rows[limit - 1]), default=str, separators=(",", ":")).encode()
    opaque = base64.urlsafe_b64encode(_checksum(values) + values).decode().rstrip("=")
    return Page[Item](items=list(rows[:limit]), next=opaque)
