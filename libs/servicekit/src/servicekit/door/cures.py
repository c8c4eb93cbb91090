"""What to do about a field that is not as it must be: a sentence for each of the validator's errors."""

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
    """`error` is one of pydantic's; `model` the type that the body was read as, for the names of its fields."""
    kind, context = str(error["type"]), dict(error.get("ctx") or {})
    if kind == "extra_forbidden":
        loc = [step for step in error["loc"] if step != "body"]
        return suggest_parameter(str(loc[-1]), sorted(_fields(model, loc[:-1])))
    sentence = _SENTENCES.get(kind)
    try:
        told = sentence.format_map(context) if sentence else "change it as said"
    except KeyError:
        told = "change it as said"
    given = error.get("input")
    if kind == "missing" or isinstance(given, dict | list):
        return told
    return f"{told}; got {format_value(given)!r}"


def _fields(model: Any, loc: Sequence[int | str]) -> set[str]:
    """Names that the object at this place may have. The validator also names the branch of a union that it tried,
    which is no step."""
    here = set(_models(model))
    for step in loc:
        inside = {
            each
            for owner in here
            for name, field in owner.model_fields.items()
            if step in (name, field.alias)
            for each in _models(field.annotation)
        }
        here = inside or {each for each in here if each.__name__ == step} or here
    return {field.alias or name for each in here for name, field in each.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def strip_validator_prefix(message: str) -> str:
    """The validator's own words, without its label for a check of ours and without names of our code."""
    message = re.sub(r"^(Value error|Assertion failed), ", "", message)
    return re.sub(r"a valid dictionary( or (instance of \w+|object to extract fields from))?", "an object", message)
