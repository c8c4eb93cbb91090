"""What to do about an invalid field: a sentence for each of pydantic's error types."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from servicekit.door.query import suggest_parameter
from servicekit.errors import format_value

_SENTENCES: dict[str, str] = {
    "missing": "add it",
    "none_required": "leave it out, or send null",
    "string_type": "send a text in quotes",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "it must match the pattern {pattern}",
    "string_unicode": "send valid Unicode, without halves of surrogate pairs",
    "bool_parsing": "send true or false",
    "bool_type": "send true or false, without quotes",
    "int_parsing": "send a whole number, such as 12",
    "int_parsing_size": "send a smaller number",
    "int_type": "send a whole number, without quotes",
    "int_from_float": "send a whole number, without a fraction",
    "float_parsing": "send a number, such as 12.5",
    "float_type": "send a number, without quotes",
    "finite_number": "send a finite number",
    "decimal_parsing": "send a number, such as 12.5",
    "decimal_type": "send a number, such as 12.5",
    "decimal_max_digits": "at most {max_digits} digits",
    "decimal_max_places": "at most {decimal_places} decimal places",
    "greater_than": "send more than {gt}",
    "greater_than_equal": "send {ge} or more",
    "less_than": "send less than {lt}",
    "less_than_equal": "send {le} or less",
    "multiple_of": "send a multiple of {multiple_of}",
    "literal_error": "send one of {expected}",
    "enum": "send one of {expected}",
    "union_tag_invalid": "choose {discriminator} from {expected_tags}",
    "union_tag_not_found": "say by {discriminator} which kind it is",
    "list_type": "send a list: [ … ]",
    "tuple_type": "send a list: [ … ]",
    "set_type": "send a list: [ … ]",
    "frozen_set_type": "send a list: [ … ]",
    "dict_type": "send an object: {{ … }}",
    "model_type": "send an object: {{ … }}",
    "model_attributes_type": "send an object: {{ … }}",
    "dataclass_type": "send an object: {{ … }}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "uuid_parsing": "send an id such as 0198c3a2-7f00-7000-8000-000000000000",
    "uuid_type": "send an id such as 0198c3a2-7f00-7000-8000-000000000000",
    "date_type": "send a day such as 2026-03-31",
    "date_parsing": "send a day such as 2026-03-31",
    "date_from_datetime_parsing": "send a day such as 2026-03-31",
    "date_from_datetime_inexact": "send a day such as 2026-03-31, without a time",
    "datetime_type": "send an instant such as 2026-03-31T09:30:00Z",
    "datetime_parsing": "send an instant such as 2026-03-31T09:30:00Z",
    "datetime_from_date_parsing": "send an instant such as 2026-03-31T09:30:00Z",
    "timezone_aware": "add the offset: 2026-03-31T09:30:00Z, or +02:00",
    "time_type": "send a time of day such as 09:30",
    "time_parsing": "send a time of day such as 09:30",
    "time_delta_parsing": "send a duration such as PT15M",
    "url_parsing": "send a whole address such as https://example.org/path",
    "url_type": "send a whole address such as https://example.org/path",
    "url_scheme": "begin the address with one of {expected_schemes}",
    "bytes_too_long": "at most {max_length} bytes",
}


def cure_of(error: Mapping[str, Any], model: Any = None) -> str:
    """What to do about one of pydantic's errors. `model`: the type that the body was validated against, for its fields'
    names."""
    kind, context = str(error["type"]), dict(error.get("ctx") or {})
    if kind == "extra_forbidden":
        loc = [step for step in error["loc"] if step != "body"]
        return suggest_parameter(str(loc[-1]), sorted(_fields(model, loc[:-1])))
    sentence = _SENTENCES.get(kind)
    try:
        cure = sentence.format_map(context) if sentence else "change it as said"
    except KeyError:
        cure = "change it as said"
    value = error.get("input")
    if kind == "missing" or isinstance(value, dict | list):
        return cure
    return f"{cure}; got {format_value(value)!r}"


def _fields(model: Any, loc: Sequence[int | str]) -> set[str]:
    """The field names that the object at this location may have. pydantic's location also names the union branch that it
    tried, which is not a step into the data."""
    models = set(_models(model))
    for step in loc:
        nested = {
            each
            for owner in models
            for name, field in owner.model_fields.items()
            if step in (name, field.alias)
            for each in _models(field.annotation)
        }
        models = nested or {each for each in models if each.__name__ == step} or models
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def strip_validator_prefix(message: str) -> str:
    """A message of pydantic without its prefix for custom validators, and without names of Python types."""
    message = re.sub(r"^(Value error|Assertion failed), ", "", message)
    return re.sub(r"a valid dictionary( or (instance of \w+|object to extract fields from))?", "an object", message)
