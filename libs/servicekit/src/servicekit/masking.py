"""Masks configuration states for the audit log: plain JSON of bounded size, without secrets and contact data.

Whatever looks like a secret is masked. A value that is masked needlessly can still be seen where it is configured.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, cast
from urllib.parse import urlsplit

MASK = "***"
MAX_STATE_CHARACTERS = 20_000
"""The approximate size of one masked state."""
MAX_TEXT_CHARACTERS = 2_000
MAX_CHANGED_POINTERS = 50
_MAX_DEPTH = 80
_MAX_NAME_CHARACTERS = 200

_SECRET = re.compile(r"secret|passw|passphrase|pwd|token|credential|private|authorization|cookie|salt|apikey", re.I)
_KEY = re.compile(r"(?:^|[^a-z])keys?(?:[^a-z]|$)", re.I)
_CAMEL_CASE_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CONTACT_FIELD = re.compile(r"phone|mobile|msisdn|fax", re.I)
_NAME_FIELDS = ("name", "header", "field", "parameter", "attribute")
_VALUE_FIELDS = frozenset({"value", "values", "default"})

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
    """Whether a field of this name holds a secret, such as a password, a token or a key."""
    return bool(_SECRET.search(name) or _KEY.search(_CAMEL_CASE_BOUNDARY.sub("_", name)))


def mask_text(text: str) -> str:
    """Masks secrets, email addresses and telephone numbers within a text, and replaces characters that cannot be stored."""
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
    """Masks a URL's user, its parameters' values, its fragment, and path segments that look random: whoever knows a webhook
    URL can often call it without any other secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    _, at_sign, host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host}" if at_sign else parts.netloc
    query = re.sub(r"=[^&;]+|^[^=&;]+$", lambda found: f"={MASK}" if found[0][0] == "=" else MASK, parts.query)
    path = _LONG_SEGMENT.sub(MASK, parts.path)
    return parts._replace(netloc=netloc, path=path, query=query, fragment=MASK if parts.fragment else "").geturl()


class StateMasker:
    """Copies one state with its secrets masked, and counts what it cut."""

    def __init__(self) -> None:
        self._characters_left = MAX_STATE_CHARACTERS
        self._texts_cut = 0
        self._parts_cut = 0

    def mask(self, value: Any) -> Any:
        """The masked copy of a JSON value."""
        return self._copy(value, 0, secret=False, contact=False)

    def describe_cuts(self, name: str) -> list[str]:
        """What was cut from the state called `name`, one text per kind; empty when nothing was."""
        found: list[str] = []
        if self._texts_cut:
            found.append(f"{name}: texts that were cut: {self._texts_cut}")
        if self._parts_cut:
            found.append(f"{name}: lists and objects that were cut: {self._parts_cut}")
        return found

    def _copy(self, value: Any, depth: int, *, secret: bool, contact: bool) -> Any:
        self._characters_left -= 2
        if value is None or isinstance(value, bool):
            return value
        if secret or (contact and not isinstance(value, dict | list)):
            return MASK
        if isinstance(value, str):
            return self._text(value)
        if depth > _MAX_DEPTH:
            self._parts_cut += 1
            return "…"
        if isinstance(value, dict):
            return self._object(cast(dict[str, Any], value), depth)
        if isinstance(value, list):
            return self._list(cast(list[Any], value), depth, contact=contact)
        self._characters_left -= 4
        return value

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        names_secret = any(is_secret_name(each) for name in _NAME_FIELDS if isinstance(each := value.get(name), str))
        found: dict[str, Any] = {}
        for name, each in value.items():
            if self._characters_left <= 0:
                self._parts_cut += 1
                found["…"] = f"{len(value) - len(found)} more"
                break
            self._characters_left -= len(name)
            secret = is_secret_name(name) or (names_secret and name in _VALUE_FIELDS)
            contact = _CONTACT_FIELD.search(name) is not None
            found[_name(name)] = self._copy(each, depth + 1, secret=secret, contact=contact)
        return found

    def _list(self, value: list[Any], depth: int, *, contact: bool) -> list[Any]:
        found: list[Any] = []
        for each in value:
            if self._characters_left <= 0:
                self._parts_cut += 1
                found.append(f"… {len(value) - len(found)} more")
                break
            found.append(self._copy(each, depth + 1, secret=False, contact=contact))
        return found

    def _text(self, text: str) -> str:
        limit = max(min(MAX_TEXT_CHARACTERS, self._characters_left), 0)
        masked = mask_text(
            text[: limit + 500]
        )  # longer than the limit, so that a secret that it cuts is still recognized
        if len(text) > limit:
            self._texts_cut += 1
            masked = f"{masked[:limit]}… ({len(text):,} characters)"
        self._characters_left -= len(masked)
        return masked


def find_changed_pointers(before: Any, after: Any) -> list[str]:
    """JSON pointers to the differences, at most MAX_CHANGED_POINTERS, then `…` if there are more."""
    found = list(islice(_differences(before, after, ""), MAX_CHANGED_POINTERS + 1))
    return [*found[:MAX_CHANGED_POINTERS], "…"] if len(found) > MAX_CHANGED_POINTERS else found


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        before, after = cast(dict[str, Any], before), cast(dict[str, Any], after)
        for name in {**before, **after}:
            pointer = f"{at}/{_name(name).replace('~', '~0').replace('/', '~1')}"
            if name not in before or name not in after:
                yield pointer
            else:
                yield from _differences(before[name], after[name], pointer)
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
    return mask_text(name[:_MAX_NAME_CHARACTERS])
