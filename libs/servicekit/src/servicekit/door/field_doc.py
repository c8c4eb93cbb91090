"""The documentation of a field or a parameter."""

from typing import Any, NamedTuple


class FieldDoc(NamedTuple):
    """The description of a field or a parameter in the OpenAPI document. Its key in a mapping is the field's name, with its
    schema (`Receipt.status`) or without (`status`), or `?` and the parameter's name. The key with the schema takes
    precedence. Without an `example`, one is generated from the type."""

    text: str
    example: Any = ...
