"""Parsing bundles, written as YAML or JSON, into JSON values."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import yaml

from identity.model.documents.events import (
    MAX_DEPTH,
    MAX_VALUES,
    parse_events,
    too_many_values,
    unreadable,
    unreadable_at,
)

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NULL, _BOOL, _INT, _FLOAT, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str"))
# By tag: the pattern of a plain scalar, and its possible first characters, which are quick to check.
_PLAIN = [
    (_NULL, re.compile(r"~|null|Null|NULL|"), frozenset(["~", "n", "N", ""])),
    (_BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), frozenset("tTfF")),
    (_INT, re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), frozenset("-+0123456789")),
    (_FLOAT, re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?"), frozenset("-+0123456789")),
]


def parse_yaml(text: str) -> Any:
    """The document as JSON values. Raises Invalid, with line and column, when it is neither YAML nor JSON, holds what JSON or
    PostgreSQL cannot, is nested deeper than MAX_DEPTH or has more than MAX_VALUES keys and values."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        # Text that begins with a brace is nearly always JSON, which parses many times faster.
        try:
            return _require_storable(
                json.loads(
                    text.lstrip("\ufeff"), object_pairs_hook=_require_unique_keys, parse_constant=_refuse_constant
                )
            )
        except json.JSONDecodeError as error:
            if _looks_like_json(text):
                raise unreadable(error.msg, error.lineno, error.colno) from error
        except RecursionError as error:
            raise unreadable("it is nested too deeply", None, None) from error
        except ValueError as error:
            raise unreadable("it holds a number that is too long", None, None) from error
    return _require_storable(_Composer().compose(text))


def _looks_like_json(text: str) -> bool:
    return re.match(r'\s*\{\s*"', text) is not None


@dataclass(slots=True)
class _Node:
    """A parsed value. `key`: its text as a key, None for a list or mapping; `count`: the number of values in it."""

    value: Any
    key: str | None = None
    count: int = 1


@dataclass(slots=True)
class _OpenCollection:
    """A list or mapping whose end is to come. `begun`: the number of values before it; `key`: that of the next value."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    begun: int
    key: str | None = None


class _Composer:
    """Builds values from parser events in one pass. An alias counts as many values as it stands for: nested aliases could turn a
    few lines into millions of values."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[_OpenCollection] = []
        self._anchors: dict[str, _Node] = {}
        self._root: Any = None

    def compose(self, text: str) -> Any:
        """The value of the document. Raises Invalid."""
        for event in parse_events(text):
            if isinstance(event, yaml.CollectionStartEvent):
                self._count += 1
                if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
                    raise unreadable_at(event, "a key must be text")
                empty: list[Any] | dict[str, Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._open.append(_OpenCollection(empty, event.anchor, self._count))
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._open.pop()
                self._take(event, _Node(done.value, None, self._count - done.begun + 1), done.anchor)
            elif isinstance(event, yaml.AliasEvent):
                known = self._anchors.get(event.anchor)
                if known is None:
                    raise unreadable_at(event, f"the alias `{event.anchor}` is not defined before it")
                self._count += known.count
                self._take(event, known, None)
            elif isinstance(event, yaml.ScalarEvent):
                self._count += 1
                self._take(event, _Node(_parse_scalar(event), str(event.value)), event.anchor)
            if self._count > MAX_VALUES:
                raise too_many_values(event)
        return self._root

    def _take(self, event: yaml.Event, read: _Node, anchor: str | None) -> None:
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
            raise unreadable_at(event, "a key must be text")
        elif read.key in inside.value:
            raise unreadable_at(event, f"the key `{read.key[:200]}` is there twice")
        else:
            inside.key = read.key


def _resolve_tag(event: yaml.ScalarEvent) -> str:
    if event.tag is not None and event.tag != "!":
        return event.tag
    if not event.implicit[0]:
        return _TEXT  # in quotes
    text = str(event.value)
    first = text[:1]
    return next((tag for tag, looks, begins in _PLAIN if first in begins and looks.fullmatch(text)), _TEXT)


def _parse_scalar(event: yaml.ScalarEvent) -> Any:
    text, tag = str(event.value), _resolve_tag(event)
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
        raise unreadable_at(event, f"`{text[:40]}` is no number") from error
    return text


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise unreadable(f"the key `{twice[:200]}` is there twice", None, None)
    return found


def _refuse_constant(name: str) -> Any:
    raise unreadable(f"{name} is not a number that JSON knows", None, None)


def _require_storable(document: Any) -> Any:
    waiting, count = [(document, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise too_many_values()
        if isinstance(each, dict | list):
            if depth > MAX_DEPTH:
                raise unreadable("it is nested too deeply", None, None)
            parts: list[Any] = [*each, *each.values()] if isinstance(each, dict) else each  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            waiting.extend((part, depth + 1) for part in parts)
        elif isinstance(each, str) and _UNSTORABLE.search(each):
            raise unreadable("it holds characters that are no text (NUL or half of a pair)", None, None)
        elif isinstance(each, float) and not math.isfinite(each):
            raise unreadable("it holds a number that is too large", None, None)
    return document
