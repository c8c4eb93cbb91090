"""A state as it may be read for years: plain JSON of bounded size, without secrets and without how people are reached.

What looks like a secret is taken for one: a value that is masked without need can still be seen where it is configured.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, cast
from urllib.parse import urlsplit

MASK = "***"
MAX_STATE_CHARACTERS = 20_000
"""Of one state, about."""
LONGEST_TEXT = 2_000
MOST_CHANGES = 50
_DEEPEST = 80
_LONGEST_NAME = 200

_SECRET = re.compile(r"secret|passw|passphrase|pwd|token|credential|private|authorization|cookie|salt|apikey", re.I)
_KEY = re.compile(r"(?:^|[^a-z])keys?(?:[^a-z]|$)", re.I)
_CAMEL_CASE_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CONTACT_FIELD = re.compile(r"phone|mobile|msisdn|fax", re.I)
_NAMING = ("name", "header", "field", "parameter", "attribute")
_VALUES = frozenset({"value", "values", "default"})

_EMAIL = re.compile(r"([^\s@<>\"'(),:;/*]?)[^\s@<>\"'(),:;/*]{0,200}@((?:[\w-]{1,63}\.){1,8}[a-zA-Z]{2,24})")
_PHONE = re.compile(r"(?<![\w.-])(?:\+|00)[1-9](?:[ ()/.-]{0,2}\d){7,16}(?![\w-])")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s\"'<>`]+")
_LONG_SEGMENT = re.compile(r"(?=[\w~-]*\d)(?=[\w~-]*[a-zA-Z])[\w~-]{20,}")
_AUTH_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.I)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)
_ASSIGNED = re.compile(r"\b([\w-]*(?:secret|passw\w*|token|api[_-]?key)[\w-]*[\"']?\s*[=:]\s*)[\"']?[^\s\"',;&]+", re.I)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what bears this name is one: a secret, a password, a token, a key."""
    return bool(_SECRET.search(name) or _KEY.search(_CAMEL_CASE_BOUNDARY.sub("_", name)))


def mask_text(text: str) -> str:
    """Without what is a secret wherever it stands, and how somebody is reached. It can be stored and sent everywhere."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    text = text.replace("\x00", "\ufffd")
    if "://" in text:
        text = _URL.sub(lambda found: _masked_url(found[0]), text)
    if "@" in text:
        text = _EMAIL.sub(rf"\1{MASK}@\2", text)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(MASK, text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if " " in text:
        text = _AUTH_HEADER.sub(rf"\1 {MASK}", text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
    if "+" in text or "00" in text:
        text = _PHONE.sub(MASK, text)
    return text


def _masked_url(url: str) -> str:
    """User, values of parameters, and parts of the path that cannot be guessed: an address is often the whole secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    place = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{place[2]}" if place[1] else parts.netloc
    query = re.sub(r"=[^&;]+|^[^=&;]+$", lambda found: f"={MASK}" if found[0][0] == "=" else MASK, parts.query)
    path = _LONG_SEGMENT.sub(MASK, parts.path)
    return parts._replace(netloc=netloc, path=path, query=query, fragment=MASK if parts.fragment else "").geturl()


class StateMasker:
    """Makes the copy of one state, and notes what it left out."""

    def __init__(self) -> None:
        self._left = MAX_STATE_CHARACTERS
        self._texts = 0
        self._parts = 0

    def mask(self, value: Any) -> Any:
        """Of plain JSON, as JSON that can be read."""
        return self._copy(value, 0, secret=False, reached=False)

    def describe_cuts(self, name: str) -> list[str]:
        """What was left out of the state that is called `name`."""
        found: list[str] = []
        if self._texts:
            found.append(f"{name}: texts that were cut: {self._texts}")
        if self._parts:
            found.append(f"{name}: lists and objects that were cut: {self._parts}")
        return found

    def _copy(self, value: Any, depth: int, *, secret: bool, reached: bool) -> Any:
        self._left -= 2
        if value is None or isinstance(value, bool):
            return value
        if secret or (reached and not isinstance(value, dict | list)):
            return MASK
        if isinstance(value, str):
            return self._text(value)
        if depth > _DEEPEST:
            self._parts += 1
            return "…"
        if isinstance(value, dict):
            return self._object(cast(dict[str, Any], value), depth)
        if isinstance(value, list):
            return self._list(cast(list[Any], value), depth, reached=reached)
        self._left -= 4
        return value

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        named = any(is_secret_name(each) for name in _NAMING if isinstance(each := value.get(name), str))
        found: dict[str, Any] = {}
        for name, each in value.items():
            if self._left <= 0:
                self._parts += 1
                found["…"] = f"{len(value) - len(found)} more"
                break
            self._left -= len(name)
            secret = is_secret_name(name) or (named and name in _VALUES)
            reached = _CONTACT_FIELD.search(name) is not None
            found[_name(name)] = self._copy(each, depth + 1, secret=secret, reached=reached)
        return found

    def _list(self, value: list[Any], depth: int, *, reached: bool) -> list[Any]:
        found: list[Any] = []
        for each in value:
            if self._left <= 0:
                self._parts += 1
                found.append(f"… {len(value) - len(found)} more")
                break
            found.append(self._copy(each, depth + 1, secret=False, reached=reached))
        return found

    def _text(self, text: str) -> str:
        most = max(min(LONGEST_TEXT, self._left), 0)
        masked = mask_text(text[: most + 500])  # a little more, so that nothing is cut in the middle and not known
        if len(text) > most:
            self._texts += 1
            masked = f"{masked[:most]}… ({len(text):,} characters)"
        self._left -= len(masked)
        return masked


def find_changed_pointers(before: Any, after: Any) -> list[str]:
    """JSON pointers to what differs, the first fifty, with a `…` where there are more."""
    found = list(islice(_differences(before, after, ""), MOST_CHANGES + 1))
    return [*found[:MOST_CHANGES], "…"] if len(found) > MOST_CHANGES else found


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        before, after = cast(dict[str, Any], before), cast(dict[str, Any], after)
        for name in {**before, **after}:
            place = f"{at}/{_name(name).replace('~', '~0').replace('/', '~1')}"
            if name not in before or name not in after:
                yield place
            else:
                yield from _differences(before[name], after[name], place)
    elif isinstance(before, list) and isinstance(after, list):
        before, after = cast(list[Any], before), cast(list[Any], after)
        for index in range(max(len(before), len(after))):
            if index >= len(before) or index >= len(after):
                yield f"{at}/{index}"
            else:
                yield from _differences(before[index], after[index], f"{at}/{index}")
    else:
        yield at


def _name(name: str) -> str:
    return mask_text(name[:_LONGEST_NAME])
