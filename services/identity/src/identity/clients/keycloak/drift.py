"""The comparison of a desired representation with the one in Keycloak."""

from collections.abc import Mapping
from typing import Any


def find_drift(desired: Any, found: Any, at: str = "") -> list[str]:
    """One line for each difference, `at` being the path so far. Only the keys of `desired` are compared: Keycloak adds many of its
    own. Lists are compared without order; booleans and integers as text, since Keycloak stores attributes as text."""
    if isinstance(desired, Mapping):
        present: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        return [
            each
            for key, value in desired.items()
            for each in find_drift(value, present.get(key), f"{at}.{key}".strip("."))
        ]
    if desired is None or desired == "":
        same = found in (None, "", [])
    elif isinstance(desired, list):
        same = isinstance(found, list) and sorted(map(str, desired)) == sorted(map(str, found))
    else:
        same = _plain(desired) == _plain(found)
    return [] if same else [f"{at} is {_plain(found)!r}, not {_plain(desired)!r}"]


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value


def merge(found: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """`found` updated with `desired`, mapping by mapping."""
    merged = dict(found)
    for key, value in desired.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged
