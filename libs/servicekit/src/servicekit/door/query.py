"""Checks query parameters: each must be known to the route, and sent once."""

import difflib
from collections.abc import Mapping
from typing import get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from servicekit.door.body import check_text
from servicekit.door.policy import walk_dependants
from servicekit.errors import FieldProblem, Invalid, NotFound

MAX_PARAMETER_CHARACTERS = 4_000


def suggest_parameter(name: str, known: list[str]) -> str:
    """A sentence with the most similar name of `known`, else with all of them."""
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`? Otherwise leave it out"
    return "leave it out; known are " + ", ".join(f"`{each}`" for each in sorted(known)) if known else "leave it out"


def query_names(dependant: Dependant) -> dict[str, bool]:
    """Name → whether it may be repeated, for each query parameter of a handler."""
    fields = [field for each in walk_dependants(dependant) for field in each.query_params]
    return {field.alias: get_origin(field.field_info.annotation) in (list, set, tuple) for field in fields}


def check_parameters(request: Request, known: Mapping[str, bool]) -> None:
    """Raises Invalid for a query parameter that is unknown, repeated, too long, or has characters that cannot be stored;
    NotFound for a path parameter with such characters. An unknown parameter is not ignored: the response would not be
    what the caller asked for. `known`: as from `query_names`."""
    problems: list[FieldProblem] = []
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        pointer = "/query/" + name.replace("~", "~0").replace("/", "~1")[:100]
        if name not in known:
            problems.append(
                FieldProblem(pointer=pointer, problem="unknown here", cure=suggest_parameter(name, list(known)))
            )
        elif name in seen and not known[name]:
            problems.append(FieldProblem(pointer=pointer, problem="given more than once", cure="give it once"))
        elif len(value) > MAX_PARAMETER_CHARACTERS:
            cure = f"at most {MAX_PARAMETER_CHARACTERS:,} characters"
            problems.append(FieldProblem(pointer=pointer, problem=f"{len(value):,} characters long", cure=cure))
        else:
            check_text(value, pointer)
        seen.add(name)
    if any("\x00" in str(value) or "\ufffd" in str(value) for value in request.path_params.values()):
        raise NotFound("unknown-address", "There is nothing at this address: it holds what is no character.")
    if problems:
        names = ", ".join(problem.pointer.removeprefix("/query/") for problem in problems[:5])
        raise Invalid("bad-parameters", f"Parameters cannot be taken as they are: {names}.", errors=problems[:20])
