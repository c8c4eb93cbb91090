"""A service's own section of a blueprint: checked, applied, told, and what it names that is another service's."""

from servicekit.blueprints.known import (
    hear_names,
    known_names,
    names_heard,
    require_known,
    require_unnamed,
    tell_section,
)
from servicekit.blueprints.sections import reject_section, take_section

__all__ = [
    "hear_names",
    "known_names",
    "names_heard",
    "reject_section",
    "require_known",
    "require_unnamed",
    "take_section",
    "tell_section",
]
