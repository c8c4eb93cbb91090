"""JSON Schema 2020-12, restricted: for any accepted schema, validating answers takes bounded time and reads no other
document.

- `$ref` may only name `#/$defs/<name>`, without cycles; the schema with all references expanded is bounded.
- `pattern` runs on an engine with linear time (pydantic's, in Rust), which has neither look-around nor back-references.
  `patternProperties` is refused, because jsonschema runs it on Python's own engine.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from functools import lru_cache
from typing import Annotated, Any, cast

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema import ValidationError as SchemaMismatch
from jsonschema.protocols import Validator
from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType]  # its decorator is untyped
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as PatternMismatch
from pydantic_core import SchemaError
from referencing import Registry
from servicekit.errors import FieldProblem
from servicekit.json_types import is_array, is_object

from forms.model import limits

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCHEMA_KEYWORDS = (
    "additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains", "propertyNames", "not",
    "if", "then", "else", "contentSchema",
)  # fmt: skip
_SCHEMA_LIST_KEYWORDS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAP_KEYWORDS = ("properties", "$defs", "dependentSchemas")
_REFUSED = {
    "$dynamicRef": "write the part out",
    "$dynamicAnchor": "leave it out",
    "$anchor": "refer to `#/$defs/…` instead",
    "$id": "leave it out",
    "$vocabulary": "leave it out",
    "definitions": "call it `$defs`",
    "patternProperties": "name each property",
}
_ROOT_KEYS = frozenset(
    {"$schema", "$defs", "$comment", "type", "title", "description", "properties", "required", "additionalProperties"}
)


@lru_cache(maxsize=1024)
def _compile_pattern(pattern: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])


def _check_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[SchemaMismatch]:
    if not isinstance(value, str):
        return
    try:
        _compile_pattern(pattern).validate_python(value)
    except PatternMismatch:
        yield SchemaMismatch(f"it does not match {pattern!r}")


_formats = FormatChecker(formats=())
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}\Z")


@_formats.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or (len(value) == 10 and bool(date.fromisoformat(value)))


@_formats.checks("time", raises=ValueError)
def _is_time(value: object) -> bool:
    if isinstance(value, str):
        time.fromisoformat(value)
    return True


@_formats.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_formats.checks("email")
def _is_email(value: object) -> bool:
    return not isinstance(value, str) or _EMAIL.match(value) is not None


_Validator = cast(type[Validator], extend(Draft202012Validator, {"pattern": _check_pattern}))
_metaschema: Validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def _mismatches(validator: Validator, instance: object) -> Iterator[SchemaMismatch]:
    iter_errors = cast(Callable[[object], Iterator[SchemaMismatch]], validator.iter_errors)  # pyright: ignore[reportUnknownMemberType]  # its overloads are half typed
    return iter_errors(instance)


def json_pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def schema_problems(schema: dict[str, Any]) -> list[FieldProblem]:
    """All problems of a form's schema, with pointers from its root. The caller has checked its size and depth."""
    found = [
        FieldProblem(
            pointer=json_pointer(*error.absolute_path),
            problem=error.message[:300],
            cure=_schema_cure(error),
        )
        for error in _mismatches(_metaschema, schema)
    ]
    if found:
        return found[: limits.MAX_PROBLEMS]
    found += _root_problems(schema)
    parts = list(_iter_subschemas(schema, ()))
    if len(parts) > limits.MAX_SCHEMA_NODES:
        return [FieldProblem(problem=f"it has more than {limits.MAX_SCHEMA_NODES} parts", cure="split the form")]
    patterns = {part["pattern"] for _, part in parts if is_object(part) and "pattern" in part}
    if len(patterns) > limits.MAX_PATTERNS:
        return [
            FieldProblem(
                problem=f"it has more than {limits.MAX_PATTERNS} different patterns", cure="use `enum`, `format`"
            )
        ]
    for where, part in parts:
        if is_object(part):
            found += _part_problems(schema, where, part)
    return (found or _expansion_problems(schema))[: limits.MAX_PROBLEMS]


def _schema_cure(error: Any) -> str:
    """What to write instead of a part that violates the metaschema."""
    while error.context:
        error = error.context[0]
    expected = error.validator_value
    match error.validator:
        case "type":
            return f"write {one_of(expected) if is_array(expected) else f'a value of type {expected}'}"
        case "enum":
            return one_of(expected)
        case "minimum":
            return f"write {expected} or more"
        case "exclusiveMinimum":
            return f"write more than {expected}"
        case "uniqueItems":
            return "name each only once"
        case "minItems":
            return f"name at least {expected}"
        case "pattern":
            return f"write what matches {expected}"
        case _:
            return "change it as said, or leave it out"


def _root_problems(schema: dict[str, Any]) -> Iterator[FieldProblem]:
    if schema.get("type") != "object" or not is_object(schema.get("properties")) or not schema["properties"]:
        yield FieldProblem(
            problem="its root must be an object whose `properties` are the questions",
            cure='{"type": "object", "properties": {"greeting": {"type": "string", "enum": ["yes", "no"]}}}',
        )
    if schema.get("$schema", DIALECT) != DIALECT:
        yield FieldProblem(pointer="/$schema", problem="another dialect", cure=DIALECT)
    if schema.get("additionalProperties") not in (None, False):
        yield FieldProblem(
            pointer="/additionalProperties", problem="answers to unknown questions are never taken", cure="leave it out"
        )
    for key in schema:
        if key not in _ROOT_KEYS:
            yield FieldProblem(
                pointer=json_pointer(key),
                problem=f"`{key}` has no place at the root: conditions between questions belong in `logic`",
                cure=f"at the root there may be: {', '.join(sorted(_ROOT_KEYS))}",
            )
    questions = schema.get("properties")
    if is_object(questions):
        if len(questions) > limits.MAX_QUESTIONS:
            yield FieldProblem(
                pointer="/properties", problem=f"more than {limits.MAX_QUESTIONS} questions", cure="split it"
            )
        for each in schema.get("required", []):
            if each not in questions:
                yield FieldProblem(pointer="/required", problem=f"no question `{each}`", cure=one_of(questions))


def _iter_subschemas(schema: Any, where: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], Any]]:
    """The schema and every schema nested in it, each with its path."""
    yield where, schema
    if not is_object(schema):
        return
    for key in _SCHEMA_KEYWORDS:
        if key in schema:
            yield from _iter_subschemas(schema[key], (*where, key))
    for key in _SCHEMA_LIST_KEYWORDS:
        for number, each in enumerate(schema.get(key, ())):
            yield from _iter_subschemas(each, (*where, key, number))
    for key in _SCHEMA_MAP_KEYWORDS:
        for name, each in schema.get(key, {}).items():
            yield from _iter_subschemas(each, (*where, key, name))


def _part_problems(root: dict[str, Any], where: tuple[object, ...], part: dict[str, Any]) -> Iterator[FieldProblem]:
    for key, cure in _REFUSED.items():
        if key in part:
            yield FieldProblem(pointer=json_pointer(*where, key), problem=f"`{key}` is not taken", cure=cure)
    if "$ref" in part and _resolve_ref(root, part["$ref"]) is None:
        yield FieldProblem(
            pointer=json_pointer(*where, "$ref"),
            problem=f"`{part['$ref']}` leads to nothing in this schema",
            cure=f"`#/$defs/` and {one_of(root.get('$defs', {}))}; other documents are never read",
        )
    if "pattern" in part:
        if len(part["pattern"]) > limits.MAX_PATTERN_CHARS:
            problem = f"longer than {limits.MAX_PATTERN_CHARS} characters"
        else:
            problem = _pattern_problem(part["pattern"])
        if problem:
            yield FieldProblem(
                pointer=json_pointer(*where, "pattern"),
                problem=problem,
                cure="a pattern without look-around and back-references",
            )


def _pattern_problem(pattern: str) -> str | None:
    try:
        _compile_pattern(pattern)
    except SchemaError as error:
        return "it cannot be used: " + str(error).rpartition("error: ")[2].strip()[:200]
    return None


def _resolve_ref(root: dict[str, Any], ref: str) -> str | None:
    """The name in `$defs` that a reference leads to, or None."""
    prefix, _, name = ref.rpartition("/")
    return name if prefix == "#/$defs" and name in root.get("$defs", {}) else None


def _expansion_problems(root: dict[str, Any]) -> list[FieldProblem]:  # noqa: C901 - two functions that call one another
    """Problems of references: cycles, and an expansion that is too large or too deep."""
    known: dict[str, tuple[int, int]] = {}
    open_names: list[str] = []

    def extent(schema: Any) -> tuple[int, int]:
        """Number of parts and levels, with all references expanded."""
        parts = levels = 0
        for where, part in _iter_subschemas(schema, ()):
            if where[:1] == ("$defs",):
                continue
            more, deeper = named(part["$ref"].rpartition("/")[2]) if is_object(part) and "$ref" in part else (0, 0)
            parts, levels = parts + 1 + more, max(levels, len(where) + deeper)
        return parts, levels

    def named(name: str) -> tuple[int, int]:
        if name in open_names:
            raise _Unbounded(f"references go in a circle: {' → '.join([*open_names, name])}")
        if len(open_names) >= limits.MAX_DEPTH:
            raise _Unbounded(f"references lead through more than {limits.MAX_DEPTH} others")
        if name not in known:
            open_names.append(name)
            known[name] = extent(root["$defs"][name])
            open_names.pop()
        return known[name]

    try:
        parts, levels = extent(root)
        if parts > limits.MAX_EXPANDED_NODES:
            raise _Unbounded(f"with its references written out it has more than {limits.MAX_EXPANDED_NODES} parts")
        if levels > limits.MAX_EXPANDED_DEPTH:
            raise _Unbounded("with its references written out it is nested too deep")
    except _Unbounded as error:
        return [FieldProblem(pointer="/$defs", problem=str(error), cure="write a part out, or refer to fewer")]
    return []


class _Unbounded(Exception):
    """Validating answers against this schema could take too long."""


def answer_problems(schema: dict[str, Any], shown: set[str], answers: dict[str, Any]) -> list[FieldProblem]:
    """All problems of the answers to the shown questions, sorted by pointer, which starts at the answers' root."""
    questions = {name: part for name, part in schema["properties"].items() if name in shown}
    effective = {
        **schema,
        "properties": questions,
        "required": [name for name in schema.get("required", ()) if name in shown],
        "additionalProperties": False,
    }
    checker = _Validator(effective, registry=Registry(), format_checker=_formats)
    found: list[FieldProblem] = []
    for error in _mismatches(checker, answers):
        found += _to_field_problems(error, list(schema["properties"]))
        if len(found) >= limits.MAX_PROBLEMS:
            break
    return sorted(found, key=lambda each: each.pointer)


def _to_field_problems(error: SchemaMismatch, questions: list[str]) -> list[FieldProblem]:
    where = list(error.absolute_path)
    rule: Any = error.validator_value
    schema: Any = error.schema
    answers: Any = error.instance
    match error.validator:
        case "required":
            name = next((each for each in rule if each not in error.instance and repr(each) in error.message), "")
            return [FieldProblem(pointer=json_pointer(*where, name), problem="no answer", cure="it must be answered")]
        case "additionalProperties" if not where:
            return [
                FieldProblem(pointer=json_pointer(name), problem="no such question", cure=one_of(questions))
                for name in answers
                if name not in schema["properties"]
            ]
        case "enum":
            problem, cure = f"{shorten(error.instance)} is not a choice", one_of(rule)
        case "const":
            problem, cure = f"{shorten(error.instance)} is not it", shorten(rule)
        case "type":
            expected = rule if isinstance(rule, str) else " or ".join(rule)
            problem, cure = f"{shorten(error.instance)} is no {expected}", f"a value of type {expected}"
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties":
            problem, cure = error.message, f"at least {rule}"
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties":
            problem, cure = error.message, f"at most {rule}"
        case _:
            problem, cure = error.message, f"{error.validator}: {shorten(rule)}"
    return [FieldProblem(pointer=json_pointer(*where), problem=problem[:300], cure=cure)]


def shorten(value: Any) -> str:
    """The value's `repr`, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def one_of(names: Any) -> str:
    """A cure that lists up to 20 names."""
    listed = [str(each) for each in names]
    return ("one of: " + ", ".join(listed[:20]) + (", …" if len(listed) > 20 else "")) if listed else "there are none"
