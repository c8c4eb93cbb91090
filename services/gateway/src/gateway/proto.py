"""Helpers for messages of Envoy's API in their JSON form."""

from typing import Any

Message = dict[str, Any]
"""A message of Envoy's API as plain data."""


def typed(name: str, **fields: Any) -> Message:
    """A message with its type, e.g. `extensions.filters.http.router.v3.Router`, for a field of type Any."""
    package = "" if name.startswith(("envoy.", "google.")) else "envoy."
    return {"@type": f"type.googleapis.com/{package}{name}", **fields}


def extension(name: str, kind: str, **fields: Any) -> Message:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def seconds(value: float) -> str:
    """A Duration, e.g. `1.5s`, to the millisecond."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def percent(value: float) -> Message:
    """A FractionalPercent; `value` from 0 to 100."""
    return {"numerator": round(value * 10_000), "denominator": "MILLION"}


def address(host: str, port: int) -> Message:
    """A TCP socket address."""
    return {"socket_address": {"address": host, "port_value": port}}
