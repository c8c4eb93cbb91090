"""What is wrong with a document that is not as its model wants it: of a blueprint, mostly."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from servicekit.door.cures import cure_of, strip_validator_prefix
from servicekit.errors import MOST_PROBLEMS, FieldProblem


def find_validation_problems(
    error: ValidationError, content: Any, model: Any = None, cures: Mapping[str, str] | None = None
) -> list[FieldProblem]:
    """Where `content` is not as `model` wants it, and what to do about each; `cures` by pydantic's name of the error go
    before the usual ones."""
    return [
        FieldProblem(
            pointer=_pointer(content, each["loc"], missing=each["type"] == "missing"),
            problem=strip_validator_prefix(each["msg"]),
            cure=(cures or {}).get(each["type"]) or cure_of(each, model),
        )
        for each in error.errors(include_url=False)[:MOST_PROBLEMS]
    ]


def _pointer(content: Any, steps: Sequence[int | str], *, missing: bool) -> str:
    """The place in the content itself: the validator also names the branch of a union that it tried, and that it looked
    at a key, which are no steps in it."""
    found, here = "", content
    for number, step in enumerate(steps):
        try:
            here = here[step]
        except (LookupError, TypeError):
            if not (missing and number == len(steps) - 1):
                continue
        found += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return found
