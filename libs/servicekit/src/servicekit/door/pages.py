"""Lists by pages, and their cursors, which are signed: a list need not guard its query against made-up ones."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from storage import Session

from servicekit.door.unit_of_work import get_context
from servicekit.errors import FieldProblem, Invalid

Item = TypeVar("Item")
Read = TypeVar("Read")
_SIGNATURE_BYTES = 16
PAGE_BYTES = 2_000_000
"""Of items that may be long, after which a page ends before its limit."""


class Page(BaseModel, Generic[Item]):
    """`next` is the cursor of the page after this one: pass it as `after`; null on the last page. A page of long items may
    hold fewer than were asked for."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class PageQuery:
    """`after` are the values that the last page's cursor held; `key` signs the cursors of this one list."""

    limit: int
    after: list[Any] | None
    key: bytes = field(default=b"", repr=False)

    def value(self, reader: Callable[[Any], Read]) -> Read | None:
        """The one value that the cursor holds, as `values` reads it."""
        found = self.values(reader)
        return found[0] if found else None

    def values(self, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """What the cursor holds, each part read by its reader; None on the first page. Raises Invalid for the cursor of
        another list."""
        if self.after is None:
            return None
        try:
            return tuple(read(part) for read, part in zip(readers, self.after, strict=True))
        except (ValueError, TypeError, AttributeError) as error:
            raise _bad_cursor("the cursor of another list") from error


def page_query(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=2000, description="The `next` of the page before.")] = None,
) -> PageQuery:
    secret = get_context(request).settings.secret
    key = hmac.digest(secret.encode(), f"cursor of {request.url.path}".encode(), hashlib.sha256)
    if after is None:
        return PageQuery(limit, None, key)
    try:
        raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
    except ValueError as error:
        raise _bad_cursor("not a cursor") from error
    signature, values = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(key, values)):
        raise _bad_cursor("not a cursor of this list")
    return PageQuery(limit, json.loads(values), key)


def _bad_cursor(problem: str) -> Invalid:
    found = FieldProblem(pointer="/after", problem=problem, cure="pass the `next` of the page before")
    return Invalid("bad-cursor", "`after` is not a cursor of this list.", errors=[found])


def _signature(key: bytes, values: bytes) -> bytes:
    return hmac.digest(key, values, hashlib.sha256)[:_SIGNATURE_BYTES]


PageDep = Annotated[PageQuery, Depends(page_query)]


def page_of(rows: Sequence[Item], page: PageQuery, cursor: Callable[[Item], list[Any]]) -> Page[Item]:
    """Makes a page of up to `page.limit` of the `page.limit + 1` rows that were fetched."""
    limit = page.limit
    if len(rows) <= limit:
        return Page[Item](items=list(rows))
    values = json.dumps(cursor(rows[limit - 1]), default=str, separators=(",", ":")).encode()
    opaque = base64.urlsafe_b64encode(_signature(page.key, values) + values).decode().rstrip("=")
    return Page[Item](items=list(rows[:limit]), next=opaque)


async def bounded_page(
    session: Session, select: str, parameters: Mapping[str, Any], page: PageQuery, *, order: str, size: str
) -> tuple[list[dict[str, Any]], PageQuery]:
    """Up to `page.limit + 1` rows of a SELECT, and fewer where they are long: about PAGE_BYTES of them, counted by the SQL
    expression `size`. With what `page_of` is to be told then, for what was left out to be on the next page."""
    rows = await session.rows(
        f"SELECT * FROM (SELECT *, sum({size}) OVER before - ({size}) AS bytes_before, row_number() OVER before AS place, "  # noqa: S608
        f"count(*) OVER () AS of_all FROM ({select} ORDER BY {order} LIMIT :limit) AS whole "
        f"WINDOW before AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) AS page "
        f"WHERE bytes_before < {PAGE_BYTES} OR place <= 2 ORDER BY place",
        {**parameters, "limit": page.limit + 1},
    )
    cut = bool(rows) and rows[0]["of_all"] > len(rows)
    return rows, replace(page, limit=len(rows) - 1) if cut else page


def page_within(items: Iterable[Item], page: PageQuery, key: Callable[[Item], str]) -> Page[Item]:
    """A page of a short list that is at hand as a whole, in the order of `key`, of which no two have the same."""
    after = page.value(str)
    left = sorted((each for each in items if after is None or key(each) > after), key=key)
    return page_of(left[: page.limit + 1], page, lambda each: [key(each)])
