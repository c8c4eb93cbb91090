"""How Envoy wants values written."""

from typing import Any

Message = dict[str, Any]
"""A message of Envoy's API as plain data."""


def typed(name: str, **fields: Any) -> Message:
    """A message that says its own type, e.g. `extensions.filters.http.router.v3.Router`."""
    package = "" if name.startswith(("envoy.", "google.")) else "envoy."
    return {"@type": f"type.googleapis.com/{package}{name}", **fields}


def extension(name: str, kind: str, **fields: Any) -> Message:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def percent(value: float) -> Message:
    return {"numerator": round(value * 10_000), "denominator": "MILLION"}


def address(host: str, port: int) -> Message:
    return {"socket_address": {"address": host, "port_value": port}}
