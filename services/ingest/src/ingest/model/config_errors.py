"""Converts configuration to a struct; a refusal names the wrong field, the reason and the cure."""

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from servicekit.door.query import suggest_parameter

from ingest.model.refusal import Refusal

T = TypeVar("T")

_WORDS = {
    "str": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "named fields: {name: …}",
    "array": "a list: [ … ]",
    "null": "null",
}


def convert_config(config: Any, kind: type[T]) -> T:
    """The configuration as a struct of this kind. Raises Refusal, whose field is a JSON pointer into `config`."""
    try:
        return msgspec.convert(config, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        pointer, kinds = _locate_error(config, kind, path)
        if strange := re.search(r"unknown field `(.*)`", reason):
            names = [field.encode_name for each in kinds if _is_struct(each) for field in msgspec.structs.fields(each)]
            told = suggest_parameter(strange[1], names)
            raise Refusal(
                _step(pointer, strange[1]), "There is no such field.", f"{told[0].upper()}{told[1:]}."
            ) from None
        if missing := re.search(r"missing required field `(.*)`", reason):
            raise Refusal(_step(pointer, missing[1]), "It is missing.", f"Add `{missing[1]}`.") from None
        raise Refusal(pointer or "/", f"{reason}.", _cure(reason, kinds)) from None


def _locate_error(config: Any, kind: Any, path: str) -> tuple[str, list[Any]]:
    """The JSON pointer to what the message's path (`$.fields[...].unit`) names, and the types that are allowed there. The
    message does not name the keys of a mapping: the first key whose value does not fit is taken."""
    here: Any = config
    pointer, kinds = "", [*_alternatives(kind)]
    for name, number in re.findall(r"\.([^.\[\]`]+)|\[(\.\.\.|\d+)\]", path):
        step: Any = name or number
        kinds = [each for outer in kinds for each in _member_types(outer, step)]
        if step == "...":
            step = next((key for key, value in here.items() if not _fits(value, kinds)), step)
        try:
            here = here[int(step) if isinstance(here, list | tuple) else step]
        except (LookupError, TypeError, ValueError):
            here = None
        pointer = _step(pointer, step)
    return pointer, kinds


def _step(pointer: str, name: object) -> str:
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _alternatives(each)
    else:
        yield kind


def _member_types(kind: Any, step: str) -> Iterator[Any]:
    if _is_struct(kind):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == step:
                yield from _alternatives(field.type)
    elif (inner := get_args(kind)) and get_origin(kind) in (dict, list, tuple):
        yield from _alternatives(inner[1 if get_origin(kind) is dict else 0])


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _fits(value: Any, kinds: Sequence[Any]) -> bool:
    try:
        msgspec.convert(value, Union[tuple(kinds)])  # noqa: UP007  the members are known at run time only
    except msgspec.ValidationError:
        return False
    return True


def _cure(reason: str, kinds: Sequence[Any]) -> str:
    if values := [str(value) for each in kinds if get_origin(each) is Literal for value in get_args(each)]:
        return f"One of {', '.join(values)}."
    wanted = re.search(r"Expected `([^`]*)`", reason)
    words = [_WORDS.get(each, each) for each in wanted[1].split(" | ")] if wanted else []
    return f"Write {' or '.join(words)}." if words else "Change it as said, or leave it out."
