"""Base models for what tenants write: sections of blueprints and request bodies."""

from collections.abc import Iterable
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

_SCALARS = ("bool", "int", "float")
_NO_SCHEMAS = ("default", "metadata", "serialization", "cls")
"""Keys of a core schema whose values hold no types of input."""


def _with_strict_scalars(schema: Any) -> Any:
    """The core schema in which every switch and number is strict. Pydantic's setting would make dates strict too."""
    if isinstance(schema, list | tuple):
        made = [_with_strict_scalars(each) for each in cast("Iterable[Any]", schema)]
        return made if isinstance(schema, list) else tuple(made)
    if not isinstance(schema, dict):
        return schema
    known = cast("dict[str, Any]", schema)
    made = {key: _with_strict_values(key, value) for key, value in known.items()}
    if made.get("type") in _SCALARS:
        made["strict"] = True
    return (
        made
        if made.get("type") != "int"
        else no_info_before_validator_function(_parse_whole_float, cast("CoreSchema", made))
    )


def _with_strict_values(key: str, value: Any) -> Any:
    if key == "fields" and isinstance(value, dict):
        return {name: _with_strict_scalars(field) for name, field in cast("dict[str, Any]", value).items()}
    return value if key in _NO_SCHEMAS else _with_strict_scalars(value)


def _parse_whole_float(value: object) -> object:
    """`5.0` as 5, since JSON Schema takes it for an integer; everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class StrictModel(BaseModel):
    """A frozen model that rejects unknown fields, and takes switches and numbers only as JSON has them: neither `1` nor `"yes"`
    is true, and neither `true` nor `"5"` is a number. Texts still become dates, ids and the like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """The fields' schemas, made strict."""
        return cast("CoreSchema", _with_strict_scalars(handler(source)))


class StrictAliasedModel(StrictModel):
    """A strict model whose fields may be set by their alias or, in code, by their name."""

    model_config = ConfigDict(populate_by_name=True)
