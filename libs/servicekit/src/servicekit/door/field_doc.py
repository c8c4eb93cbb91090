"""What is said of a field or a parameter."""

from typing import Any, NamedTuple


class FieldDoc(NamedTuple):
    """Of a field by its name, or by its schema's name and its own (`Receipt.status`); of a parameter by `?` and its name.
    The longer name goes first. `example` left out: one is made up by the type."""

    text: str
    example: Any = ...
