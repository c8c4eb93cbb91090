"""Turns pydantic's validation errors of a document, such as a blueprint, into field problems."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from servicekit.door.cures import cure_of, strip_validator_prefix
from servicekit.errors import MOST_PROBLEMS, FieldProblem


def find_validation_problems(
    error: ValidationError, content: Any, model: Any = None, cures: Mapping[str, str] | None = None
) -> list[FieldProblem]:
    """The field problems of a validation error of `content` against `model`, each with its cure. `cures`: pydantic error
    type → cure, which replaces the usual one."""
    return [
        FieldProblem(
            pointer=_pointer(content, each["loc"], missing=each["type"] == "missing"),
            problem=strip_validator_prefix(each["msg"]),
            cure=(cures or {}).get(each["type"]) or cure_of(each, model),
        )
        for each in error.errors(include_url=False)[:MOST_PROBLEMS]
    ]


def _pointer(content: Any, steps: Sequence[int | str], *, missing: bool) -> str:
    """The JSON pointer of an error's location. pydantic's location also has the union branch that it tried, or `[key]`;
    these are not part of the content and are left out."""
    found, current = "", content
    for number, step in enumerate(steps):
        try:
            current = current[step]
        except (LookupError, TypeError):
            if not (missing and number == len(steps) - 1):
                continue
        found += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return found
