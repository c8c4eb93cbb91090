"""A service's own section of a blueprint: checks it, applies it, publishes it, and checks its references to other services."""

from servicekit.blueprints.names import (
    load_known_names,
    publish_section,
    require_known_names,
    require_unnamed,
    store_section_names,
    subscribe_to_names,
)
from servicekit.blueprints.sections import handle_section, publish_section_result

__all__ = [
    "handle_section",
    "load_known_names",
    "publish_section",
    "publish_section_result",
    "require_known_names",
    "require_unnamed",
    "store_section_names",
    "subscribe_to_names",
]
