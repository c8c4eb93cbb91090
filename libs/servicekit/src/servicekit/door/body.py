"""A request whose body is limited in bytes, number of values, time to arrive, and nesting depth."""

import asyncio
import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn, cast

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.types import Message

from servicekit.errors import FieldProblem, Invalid, TooLarge, TooSlow

MAX_DEPTH = 64
"""The most levels of nested arrays and objects."""
BODY_TIMEOUT_SECONDS = 20.0
MIN_BYTES_PER_SECOND = 5_000
"""A body may take BODY_TIMEOUT_SECONDS, and one more second for each MIN_BYTES_PER_SECOND received."""

MAX_VALUES = 20_000
"""The most values, counting field names, in one body. So many are parsed and validated without blocking the loop for long."""
MAX_VALIDATION_ERRORS = 1_000
MAX_EXCERPT_FIELDS = 50
_MAX_STEP_CHARACTERS = 100

_HUGE_NUMBER = re.compile(rb"[eE]\+?\d{3}|(?<!\d)\d{300}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BoundedRequest(Request):
    """A request whose body raises TooLarge when it has more than `max_bytes` (None: any number), and TooSlow when it arrives
    too slowly. Only the time spent waiting counts, not the time that the handler takes."""

    def __init__(self, request: Request, max_bytes: int | None) -> None:
        super().__init__(request.scope, self._bounded)
        self._inner = request.receive
        self._max_bytes = max_bytes
        self._size = 0
        self._waited = 0.0
        self._parsed: Any = None
        self._is_parsed = False
        self._values = 0

    def check_content_length(self) -> None:
        """Raises TooLarge when Content-Length exceeds the limit, without reading the body."""
        content_length = self.headers.get("content-length", "")
        if (
            content_length.isascii()
            and content_length.isdigit()
            and (len(content_length) > 15 or int(content_length) > (self._max_bytes or 1e15))
        ):
            raise self._too_large()

    async def _bounded(self) -> Message:
        loop = asyncio.get_running_loop()
        began = loop.time()
        timeout = BODY_TIMEOUT_SECONDS + self._size / MIN_BYTES_PER_SECOND - self._waited
        try:
            async with asyncio.timeout(max(timeout, 0.001)):
                message = await self._inner()
        except TimeoutError as error:
            raise TooSlow(
                "body-too-slow", f"The body did not come: {self._size:,} bytes in {self._waited + timeout:.0f} s."
            ) from error
        self._waited += loop.time() - began
        self._size += len(message.get("body", b""))
        if self._max_bytes is not None and self._size > self._max_bytes:
            raise self._too_large()
        return message

    def _too_large(self) -> TooLarge:
        return TooLarge("too-large", f"At most {self._max_bytes or 0:,} bytes are taken here. Send less at once.")

    async def parse_json_body(self) -> None:  # noqa: C901 - a list of checks, cheapest first
        """Parses the body once. A syntax error is left to the framework, which reports its position. Raises Invalid for JSON
        that is not UTF-8, too deep, or has values that cannot be stored; TooLarge for too many values."""
        body = await self.body()
        if not body or not _is_json(self.headers.get("content-type", "")):
            return
        try:
            if b"\x00" in body:
                raise _not_utf8()  # the parser also accepts UTF-16, but the checks below assume UTF-8
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _not_utf8() from error
        self._values = count_values(body)
        if self._values > MAX_VALUES:
            raise TooLarge(
                "too-many-values",
                f"At most {MAX_VALUES:,} values are taken at once; this body has about {self._values:,}. Send fewer at once.",
            )
        try:
            self._parsed = json.loads(text, parse_constant=_no_number)
        except json.JSONDecodeError:
            return
        except RecursionError as error:
            raise _too_deep() from error
        except ValueError as error:
            raise Invalid("unreadable-json", f"The body cannot be read as JSON: {str(error)[:200]}.") from error
        self._is_parsed = True
        _check_depth(self._parsed)
        if _HUGE_NUMBER.search(body) and any(
            isinstance(each, float) and abs(each) == math.inf for each in _walk_values(self._parsed)
        ):
            raise Invalid("unreadable-json", "The body holds a number that is larger than any computer's.")
        lower = body.lower()
        if b"\\u0000" in lower or b"\\ud" in lower:
            for path, text in _walk_strings(self._parsed):
                if UNSTORABLE.search(text):
                    check_text(text, _pointer(path))

    def truncate_invalid_body(self, body: TypeAdapter[Any]) -> None:
        """Shortens a body with too many validation errors to the beginnings of its lists and objects, since reporting an
        error takes longer than finding it and only the first hundred are reported. `body`: the type that the body is
        validated against. Raises Invalid when no excerpt has few enough errors."""
        if (
            not self._is_parsed
            or self._values <= MAX_VALIDATION_ERRORS
            or _count_errors(body, self._parsed) <= MAX_VALIDATION_ERRORS
        ):
            return
        for items in (50, 10, 3, 1):
            excerpt = _excerpt(self._parsed, items)
            if 0 < _count_errors(body, excerpt) <= MAX_VALIDATION_ERRORS:
                self._parsed = excerpt
                return
        problem = FieldProblem(
            pointer="/body",
            problem=f"more than {MAX_VALIDATION_ERRORS:,} things in it are not as they must be",
            cure="send a small part of it first, until that is taken",
        )
        raise Invalid("invalid-fields", "Nearly nothing in the body is as it must be.", errors=[problem])

    async def json(self) -> Any:
        """The parsed body. Raises json.JSONDecodeError when it is not JSON."""
        return self._parsed if self._is_parsed else await super().json()


def count_values(body: bytes) -> int:
    """An upper estimate of the number of values and field names in JSON, without parsing it: one for the document, and one
    for each opening bracket, comma and colon outside of strings."""
    if (estimate := _count_separators(body)) <= MAX_VALUES:
        return estimate
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return _count_separators(b"".join(outside))


def _count_separators(body: bytes) -> int:
    return 1 + sum(map(body.count, (b",", b"[", b"{", b":")))


def _count_errors(body: TypeAdapter[Any], value: Any) -> int:
    try:
        body.validate_python(value, from_attributes=True)
    except ValidationError as error:
        return error.error_count()
    return 0


def _excerpt(value: Any, items: int) -> Any:
    """The value with only the first items of each list, and the first fields of each object."""
    if isinstance(value, dict):
        fields = islice(cast("dict[str, Any]", value).items(), MAX_EXCERPT_FIELDS)
        return {name: _excerpt(each, items) for name, each in fields}
    if isinstance(value, list):
        return [_excerpt(each, items) for each in cast("list[Any]", value)[:items]]
    return value


def _walk_values(value: Any) -> Iterator[Any]:
    stack = [value]
    while stack:
        each = stack.pop()
        yield each
        if isinstance(each, dict | list):
            stack.extend(cast("dict[str, Any]", each).values() if isinstance(each, dict) else cast("list[Any]", each))


def check_text(text: str, pointer: str) -> None:
    """Raises Invalid for characters that PostgreSQL cannot store: NUL and lone surrogates."""
    if (unstorable := UNSTORABLE.search(text)) is not None:
        problem = "it holds the character NUL" if unstorable[0] == "\x00" else "it holds half of a surrogate pair"
        found = FieldProblem(pointer=pointer, problem=problem, cure="leave that character out")
        raise Invalid("unstorable-text", "A text holds a character that cannot be stored.", errors=[found])


def _is_json(content_type: str) -> bool:
    kind = content_type.split(";", 1)[0].strip().lower()
    return kind.startswith("application/") and (kind.endswith(("/json", "+json")))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _not_utf8() -> Invalid:
    return Invalid(
        "unreadable-json", "The body is not in UTF-8, which JSON is written in. Save it as UTF-8 and send it again."
    )


def _check_depth(value: Any) -> None:
    """Raises Invalid when a value is nested too deeply. Goes level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list) and each
            for child in (each.values() if isinstance(each, dict) else each)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Invalid:
    found = FieldProblem(
        pointer="/body", problem=f"more than {MAX_DEPTH} arrays and objects in one another", cure="flatten it"
    )
    return Invalid("too-deep", "The body is nested too deeply.", errors=[found])


_Path = tuple["_Path", str | int] | None
"""The path to a value: the path of its parent, and its field name or index there; None for the document."""


def _walk_strings(document: Any) -> Iterator[tuple[_Path, str]]:
    """All strings and field names with their paths. A path is shared with its siblings: JSON pointers for all of them could
    be many times as long as the document."""
    stack: list[tuple[_Path, Any]] = [(None, document)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            for key, each in cast("dict[str, Any]", value).items():
                yield path, key
                stack.append(((path, key), each))
        elif isinstance(value, list):
            stack += [((path, number), each) for number, each in enumerate(cast("list[Any]", value))]


def _pointer(path: _Path) -> str:
    steps = list[str]()
    while path is not None:
        path, step = path
        steps.append(str(step)[:_MAX_STEP_CHARACTERS])
    return "/".join(["/body", *reversed(steps)])
