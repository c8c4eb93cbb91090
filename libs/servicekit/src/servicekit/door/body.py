"""A request whose body is bounded in bytes, in time, and in depth."""

import asyncio
import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from fastapi import Request
from starlette.types import Message

from servicekit.errors import FieldProblem, Invalid, TooLarge, TooSlow

DEPTH = 64
"""Arrays and objects in one another."""
PATIENCE_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 5_000
"""A sender may keep us waiting for the patience, and longer by what it has sent at this pace."""

_HUGE = re.compile(rb"[eE]\+?\d{3}|\d{300}")


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

    def check_announced(self) -> None:
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
        patience = PATIENCE_SECONDS + self._size / SLOWEST_BYTES_PER_SECOND - self._waited
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

    async def take_json(self) -> None:
        """Parses the body once. What is no JSON at all is left to the framework, which tells the place. Raises Invalid
        for JSON that nobody should have to read."""
        body = await self.body()
        if not body or not _is_json(self.headers.get("content-type", "")):
            return
        try:
            self._parsed = json.loads(body, parse_constant=_no_number)
        except json.JSONDecodeError:
            return
        except RecursionError as error:
            raise _too_deep() from error
        except ValueError as error:
            raise Invalid("unreadable-json", f"The body cannot be read as JSON: {str(error)[:200]}.") from error
        self._is_parsed = True
        _check_depth(self._parsed)
        if _HUGE.search(body) and any(abs(each) == math.inf for each in _numbers(self._parsed)):
            raise Invalid("unreadable-json", "The body holds a number that is larger than any computer's.")
        lower = body.lower()
        if b"\\u0000" in lower or b"\\ud" in lower:
            for pointer, text in _texts(self._parsed, ""):
                check_text(text, "/body" + pointer)

    async def json(self) -> Any:
        return self._parsed if self._is_parsed else await super().json()


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            yield from _numbers(each)


def check_text(text: str, pointer: str) -> None:
    """Raises Invalid for what no database column can hold: NUL, and halves of surrogate pairs."""
    if "\x00" in text or any("\ud800" <= each <= "\udfff" for each in text):
        problem = "it holds the character NUL" if "\x00" in text else "it holds half of a surrogate pair"
        found = FieldProblem(pointer=pointer, problem=problem, cure="leave that character out")
        raise Invalid("unstorable-text", "A text holds a character that cannot be stored.", errors=[found])


def _is_json(content_type: str) -> bool:
    kind = content_type.split(";", 1)[0].strip().lower()
    return kind.startswith("application/") and (kind.endswith(("/json", "+json")))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check_depth(value: Any) -> None:
    """Level by level, so that nothing recurses."""
    level = [value]
    for _ in range(DEPTH + 1):
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
        pointer="/body", problem=f"more than {DEPTH} arrays and objects in one another", cure="flatten it"
    )
    return Invalid("too-deep", "The body is nested too deeply.", errors=[found])


def _texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield pointer, key
            yield from _texts(each, f"{pointer}/{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _texts(each, f"{pointer}/{number}")
