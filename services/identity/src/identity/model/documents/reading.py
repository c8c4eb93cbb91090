"""Reading bundles. What comes out is plain JSON, whether it was written as YAML or as JSON."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import yaml

from identity.model.documents.events import DEEPEST, MOST_VALUES, at, broken, events, too_many

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NULL, _BOOL, _INT, _FLOAT, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str"))
# By tag: what it looks like, and what it may begin with.
_PLAIN = [
    (_NULL, re.compile(r"~|null|Null|NULL|"), frozenset(["~", "n", "N", ""])),
    (_BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), frozenset("tTfF")),
    (_INT, re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), frozenset("-+0123456789")),
    (_FLOAT, re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?"), frozenset("-+0123456789")),
]


def parse_yaml(text: str) -> Any:
    """Raises Invalid with line and column when it is neither YAML nor JSON, or holds what JSON cannot."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        # What begins with a brace is nearly always JSON, which is read many times faster.
        try:
            return _storable(json.loads(text.lstrip("\ufeff"), object_pairs_hook=_unique, parse_constant=_no_constant))
        except json.JSONDecodeError as error:
            if _looks_like_json(text):
                raise broken(error.msg, error.lineno, error.colno) from error
        except RecursionError as error:
            raise broken("it is nested too deeply", None, None) from error
        except ValueError as error:
            raise broken("it holds a number that is too long", None, None) from error
    return _storable(_Reading().value(text))


def _looks_like_json(text: str) -> bool:
    return re.match(r'\s*\{\s*"', text) is not None


@dataclass(slots=True)
class _Read:
    """`key`: what it is as one, None for what can be none. `count`: of the values it is made of."""

    value: Any
    key: str | None = None
    count: int = 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end is to come. `key`: of the value that comes next."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    begun: int
    key: str | None = None


class _Reading:
    """Turns what the parser finds into values, in one pass. Aliases are counted as what they stand for: one inside of others
    could make millions of a few lines."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, _Read] = {}
        self._root: Any = None

    def value(self, text: str) -> Any:
        for event in events(text):
            if isinstance(event, yaml.CollectionStartEvent):
                self._count += 1
                if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
                    raise at(event, "a key must be text")
                empty: list[Any] | dict[str, Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._open.append(_Open(empty, event.anchor, self._count))
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._open.pop()
                self._take(event, _Read(done.value, None, self._count - done.begun + 1), done.anchor)
            elif isinstance(event, yaml.AliasEvent):
                known = self._anchors.get(event.anchor)
                if known is None:
                    raise at(event, f"the alias `{event.anchor}` is not defined before it")
                self._count += known.count
                self._take(event, known, None)
            elif isinstance(event, yaml.ScalarEvent):
                self._count += 1
                self._take(event, _Read(_scalar(event), str(event.value)), event.anchor)
            if self._count > MOST_VALUES:
                raise too_many(event)
        return self._root

    def _take(self, event: yaml.Event, read: _Read, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = read
        if not self._open:
            self._root = read.value
            return
        inside = self._open[-1]
        if isinstance(inside.value, list):
            inside.value.append(read.value)
        elif inside.key is not None:
            inside.value[inside.key] = read.value
            inside.key = None
        elif read.key is None:
            raise at(event, "a key must be text")
        elif read.key in inside.value:
            raise at(event, f"the key `{read.key[:200]}` is there twice")
        else:
            inside.key = read.key


def _tag_of(event: yaml.ScalarEvent) -> str:
    if event.tag is not None and event.tag != "!":
        return event.tag
    if not event.implicit[0]:
        return _TEXT  # in quotes
    text = str(event.value)
    first = text[:1]
    return next((tag for tag, looks, begins in _PLAIN if first in begins and looks.fullmatch(text)), _TEXT)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text, tag = str(event.value), _tag_of(event)
    if tag == _NULL:
        return None
    if tag == _BOOL:
        return text.lower() == "true"
    try:
        if tag == _INT:
            return int(text)
        if tag == _FLOAT and math.isfinite(number := float(text)):
            return number
    except ValueError as error:
        raise at(event, f"`{text[:40]}` is no number") from error
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise broken(f"the key `{twice[:200]}` is there twice", None, None)
    return found


def _no_constant(name: str) -> Any:
    raise broken(f"{name} is not a number that JSON knows", None, None)


def _storable(document: Any) -> Any:
    waiting, count = [(document, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise too_many()
        if isinstance(each, dict | list):
            if depth > DEEPEST:
                raise broken("it is nested too deeply", None, None)
            parts: list[Any] = [*each, *each.values()] if isinstance(each, dict) else each  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            waiting.extend((part, depth + 1) for part in parts)
        elif isinstance(each, str) and _UNSTORABLE.search(each):
            raise broken("it holds characters that are no text (NUL or half of a pair)", None, None)
        elif isinstance(each, float) and not math.isfinite(each):
            raise broken("it holds a number that is too large", None, None)
    return document
