"""A service's own section of a blueprint: checked, applied, answered, and what it names that is another service's."""

from servicekit.blueprints.known import known_names, names_heard, require_known
from servicekit.blueprints.sections import reject_section, take_section

__all__ = ["known_names", "names_heard", "reject_section", "require_known", "take_section"]
