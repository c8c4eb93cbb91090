"""The comparison of a desired representation with the one in Keycloak."""

from collections.abc import Mapping
from typing import Any


def find_drift(wanted: Any, found: Any, at: str = "") -> list[str]:
    """One line for each difference, `at` being the path so far. Only the keys of `wanted` are compared: Keycloak adds many of its
    own. Lists are compared without order; booleans and integers as text, since Keycloak stores attributes as text."""
    if isinstance(wanted, Mapping):
        present: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        return [
            each
            for key, value in wanted.items()
            for each in find_drift(value, present.get(key), f"{at}.{key}".strip("."))
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
    """`found` updated with `wanted`, mapping by mapping."""
    merged = dict(found)
    for key, value in wanted.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged
