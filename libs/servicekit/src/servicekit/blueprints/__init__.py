"""A service's own section of a blueprint: checked, applied, told, and what it names that is another service's."""

from servicekit.blueprints.names import (
    hear_names,
    load_known_names,
    require_known_names,
    require_unnamed,
    subscribe_to_names,
    tell_section,
)
from servicekit.blueprints.sections import claim_section, reject_section

__all__ = [
    "claim_section",
    "hear_names",
    "load_known_names",
    "reject_section",
    "require_known_names",
    "require_unnamed",
    "subscribe_to_names",
    "tell_section",
]
