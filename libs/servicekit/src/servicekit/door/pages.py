"""Paginated lists and their cursors. Cursors are signed, so that a list's query need not check for forged ones."""

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

from servicekit.door.request_state import get_context
from servicekit.errors import FieldProblem, Invalid

Item = TypeVar("Item")
Read = TypeVar("Read")
_SIGNATURE_BYTES = 16
PAGE_BYTES = 2_000_000
"""The approximate maximum size of a page of long items. Such a page may end before its limit."""


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next` is the cursor of the following page: pass it as `after`. It is null on the last page. A
    page of long items may have fewer items than `limit`."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class PageQuery:
    """The page that a request asks for: up to `limit` items `after` the values of the previous page's cursor (None: the
    first page). `key` signs the cursors of this list."""

    limit: int
    after: list[Any] | None
    key: bytes = field(default=b"", repr=False)

    def value(self, reader: Callable[[Any], Read]) -> Read | None:
        """The cursor's only value, parsed by `reader`; None on the first page. Raises Invalid like `values`."""
        found = self.values(reader)
        return found[0] if found else None

    def values(self, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """The cursor's values, each parsed by its reader; None on the first page. Raises Invalid when they do not fit the
        readers."""
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
    """The dependency that parses `limit` and `after`. Raises Invalid for a cursor that is not of this list."""
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
    """The page with up to `page.limit` of the rows, of which the caller has fetched `page.limit + 1`. `cursor`: the values
    of an item by which the list is ordered."""
    limit = page.limit
    if len(rows) <= limit:
        return Page[Item](items=list(rows))
    values = json.dumps(cursor(rows[limit - 1]), default=str, separators=(",", ":")).encode()
    opaque = base64.urlsafe_b64encode(_signature(page.key, values) + values).decode().rstrip("=")
    return Page[Item](items=list(rows[:limit]), next=opaque)


async def bounded_page(
    session: Session, select: str, parameters: Mapping[str, Any], page: PageQuery, *, order: str, size: str
) -> tuple[list[dict[str, Any]], PageQuery]:
    """Up to `page.limit + 1` rows of a SELECT, but only about PAGE_BYTES of long ones. `size`: an SQL expression for a row's
    size in bytes. Also returns the PageQuery for `page_of`; its limit is lower if rows were left out."""
    rows = await session.rows(
        f"SELECT * FROM (SELECT *, sum({size}) OVER before - ({size}) AS bytes_before, row_number() OVER before AS row_position, "  # noqa: S608
        f"count(*) OVER () AS row_count FROM ({select} ORDER BY {order} LIMIT :limit) AS selected "
        f"WINDOW before AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) AS page "
        f"WHERE bytes_before < {PAGE_BYTES} OR row_position <= 2 ORDER BY row_position",
        {**parameters, "limit": page.limit + 1},
    )
    cut = bool(rows) and rows[0]["row_count"] > len(rows)
    return rows, replace(page, limit=len(rows) - 1) if cut else page


def page_within(items: Iterable[Item], page: PageQuery, key: Callable[[Item], str]) -> Page[Item]:
    """A page of a short list that is completely in memory, ordered by `key`, which must be unique."""
    after = page.value(str)
    left = sorted((each for each in items if after is None or key(each) > after), key=key)
    return page_of(left[: page.limit + 1], page, lambda each: [key(each)])
