"""A request whose body is bounded in bytes, in values, in time, and in depth."""

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
"""Arrays and objects in one another."""
BODY_TIMEOUT_SECONDS = 20.0
MIN_BYTES_PER_SECOND = 5_000
"""A sender may keep us waiting for the patience, and longer by what it has sent at this pace."""

VALUES = 20_000
"""Of one body, names among them: what the loop parses, checks and validates in a moment, whatever they are."""
MOST_FAULTS = 1_000
MOST_FIELDS = 50
_STEP_LENGTH = 100

_HUGE_NUMBER = re.compile(rb"[eE]\+?\d{3}|(?<!\d)\d{300}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BoundedRequest(Request):
    """Raises TooLarge for more than `most` bytes (None: any number), as soon as their number is announced or counted,
    and TooSlow when they are waited for too long; only waiting counts, not the time that its reader takes."""

    def __init__(self, request: Request, most: int | None) -> None:
        super().__init__(request.scope, self._bounded)
        self._inner = request.receive
        self._most = most
        self._size = 0
        self._waited = 0.0
        self._parsed: Any = None
        self._is_parsed = False
        self._values = 0

    def check_content_length(self) -> None:
        """Raises TooLarge when the request says that it is; nothing of it is read."""
        announced = self.headers.get("content-length", "")
        if (
            announced.isascii()
            and announced.isdigit()
            and (len(announced) > 15 or int(announced) > (self._most or 1e15))
        ):
            raise self._too_large()

    async def _bounded(self) -> Message:
        loop = asyncio.get_running_loop()
        began = loop.time()
        patience = BODY_TIMEOUT_SECONDS + self._size / MIN_BYTES_PER_SECOND - self._waited
        try:
            async with asyncio.timeout(max(patience, 0.001)):
                message = await self._inner()
        except TimeoutError as error:
            raise TooSlow(
                "body-too-slow", f"The body did not come: {self._size:,} bytes in {self._waited + patience:.0f} s."
            ) from error
        self._waited += loop.time() - began
        self._size += len(message.get("body", b""))
        if self._most is not None and self._size > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> TooLarge:
        return TooLarge("too-large", f"At most {self._most or 0:,} bytes are taken here. Send less at once.")

    async def parse_json_body(self) -> None:  # noqa: C901 - a list of refusals, cheapest first
        """Parses the body once. What is no JSON at all is left to the framework, which tells the place. Raises Invalid
        for JSON that nobody should have to read, and TooLarge for one of too many values."""
        body = await self.body()
        if not body or not _is_json(self.headers.get("content-type", "")):
            return
        try:
            if b"\x00" in body:
                raise _not_utf8()  # the parser would read UTF-16, too, in which nothing below finds its way
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _not_utf8() from error
        self._values = values_of(body)
        if self._values > VALUES:
            raise TooLarge(
                "too-many-values",
                f"At most {VALUES:,} values are taken at once; this body has about {self._values:,}. Send fewer at once.",
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
            isinstance(each, float) and abs(each) == math.inf for each in _flat(self._parsed)
        ):
            raise Invalid("unreadable-json", "The body holds a number that is larger than any computer's.")
        lower = body.lower()
        if b"\\u0000" in lower or b"\\ud" in lower:
            for place, text in _walk_strings(self._parsed):
                if UNSTORABLE.search(text):
                    check_text(text, _pointer(place))

    def leave_out_faults(self, body: TypeAdapter[Any]) -> None:
        """Telling what is wrong takes longer than finding it, and nobody reads more than the first hundred: of a body with
        very many faults only the beginnings of its lists and objects are left, with theirs. Raises Invalid when that is not
        enough."""
        if not self._is_parsed or self._values <= MOST_FAULTS or _faults(body, self._parsed) <= MOST_FAULTS:
            return
        for items in (50, 10, 3, 1):
            beginning = _beginning(self._parsed, items)
            if 0 < _faults(body, beginning) <= MOST_FAULTS:
                self._parsed = beginning
                return
        problem = FieldProblem(
            pointer="/body",
            problem=f"more than {MOST_FAULTS:,} things in it are not as they must be",
            cure="send a small part of it first, until that is taken",
        )
        raise Invalid("invalid-fields", "Nearly nothing in the body is as it must be.", errors=[problem])

    async def json(self) -> Any:
        return self._parsed if self._is_parsed else await super().json()


def values_of(body: bytes) -> int:
    """About how many values and names JSON in UTF-8 holds, never fewer, without parsing it: one begins at its beginning, at
    each bracket that opens, comma and colon outside of texts."""
    if (rough := _begun(body)) <= VALUES:
        return rough
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return _begun(b"".join(outside))


def _begun(body: bytes) -> int:
    return 1 + sum(map(body.count, (b",", b"[", b"{", b":")))


def _faults(body: TypeAdapter[Any], value: Any) -> int:
    try:
        body.validate_python(value, from_attributes=True)
    except ValidationError as error:
        return error.error_count()
    return 0


def _beginning(value: Any, items: int) -> Any:
    """The first items of each list, and the first fields of each object, of which there are never so many."""
    if isinstance(value, dict):
        fields = islice(cast("dict[str, Any]", value).items(), MOST_FIELDS)
        return {name: _beginning(each, items) for name, each in fields}
    if isinstance(value, list):
        return [_beginning(each, items) for each in cast("list[Any]", value)[:items]]
    return value


def _flat(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, dict | list):
            waiting.extend(cast("dict[str, Any]", each).values() if isinstance(each, dict) else cast("list[Any]", each))


def check_text(text: str, pointer: str) -> None:
    """Raises Invalid for what no database column can hold: NUL, and halves of surrogate pairs."""
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
    """Level by level, so that nothing recurses."""
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


_Place = tuple["_Place", str | int] | None
"""Where a value is: where that is which holds it, and under which name or number there."""


def _walk_strings(document: Any) -> Iterator[tuple[_Place, str]]:
    """All texts and names. Their pointers are not made here: together they may be many times as long as the document."""
    waiting: list[tuple[_Place, Any]] = [(None, document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            yield place, value
        elif isinstance(value, dict):
            for key, each in cast("dict[str, Any]", value).items():
                yield place, key
                waiting.append(((place, key), each))
        elif isinstance(value, list):
            waiting += [((place, number), each) for number, each in enumerate(cast("list[Any]", value))]


def _pointer(place: _Place) -> str:
    steps = list[str]()
    while place is not None:
        place, step = place
        steps.append(str(step)[:_STEP_LENGTH])
    return "/".join(["/body", *reversed(steps)])
