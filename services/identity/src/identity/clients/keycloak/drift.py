"""What is wanted against what is there."""

from collections.abc import Mapping
from typing import Any


def find_drift(wanted: Any, found: Any, at: str = "") -> list[str]:
    """One sentence a difference, by the keys of `wanted` only: Keycloak fills in much of its own. Lists are compared
    without regard to order, booleans and numbers also by their text, which is how Keycloak keeps attributes."""
    if isinstance(wanted, Mapping):
        there: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        return [
            each
            for key, value in wanted.items()
            for each in find_drift(value, there.get(key), f"{at}.{key}".strip("."))
        ]
    if wanted is None or wanted == "":
        same = found in (None, "", [])
    elif isinstance(wanted, list):
        same = isinstance(found, list) and sorted(map(str, wanted)) == sorted(map(str, found))
    else:
        same = _plain(wanted) == _plain(found)
    return [] if same else [f"{at} is {_plain(found)!r}, not {_plain(wanted)!r}"]


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value


def merge(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with what is wanted laid over it, key by key."""
    whole = dict(found)
    for key, value in wanted.items():
        old = whole.get(key)
        whole[key] = merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return whole
