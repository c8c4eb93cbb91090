"""docs/vendors.md, made from the registry of connectors (`ingest.model.registry`)."""

import inspect
import json
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from ingest.model.connector import Connector
from ingest.model.registry import CONNECTORS

_PREFACE = """\
# Phone systems

<!-- Generated from services/ingest/src/ingest/model/registry.py: `uplift docs --write`. -->

A source has one `vendor`, which says how its records are read, and that vendor's configuration in `options` or `mapping`. A new one is a
module, a line in the registry and a test ([the recipe](recipes/add-a-connector.md)).

| vendor | reads | configured in |
|---|---|---|
"""
_WORDS: dict[Any, str] = {str: "text", int: "integer", bool: "true or false", type(None): "null"}


def render_vendors() -> str:
    """The text of docs/vendors.md."""
    connectors = CONNECTORS.values()
    rows = "".join(f"| `{each.vendor}` | {each.summary} | `{each.setting}` |\n" for each in connectors)
    return _PREFACE + rows + "".join(line for each in connectors for line in _chapter(each))


def _chapter(connector: Connector) -> Iterator[str]:
    yield f"\n## `{connector.setting}` of `{connector.vendor}`\n"
    structs = [connector.config]
    for struct in structs:  # which grows by those that the fields of the first ones hold
        structs += [each for each in dict.fromkeys(_structs_in(struct)) if each not in structs]
        heading = "" if struct is connector.config else f"`{struct.__name__}`: "
        yield f"\n{heading}{_docstring(struct)}\n\n| field | type | when absent |\n|---|---|---|\n"
        for field in msgspec.structs.fields(struct):
            yield f"| `{field.encode_name}` | {_type_words(field.type)} | {_default(field)} |\n"


def _docstring(struct: type[msgspec.Struct]) -> str:
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split())


def _structs_in(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    waiting = [field.type for field in msgspec.structs.fields(struct)]
    for each in waiting:  # which grows by the types within
        waiting += get_args(each)
        if inspect.isclass(each) and issubclass(each, msgspec.Struct):
            yield each


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "refused"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return f"`{json.dumps(default)}`"


def _type_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type_words(each) for each in arguments)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (list, tuple):
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"map of {_type_words(arguments[1])}"
    return _WORDS.get(annotation) or f"`{annotation.__name__}`"
