"""Query parameters: each is known, and given once."""

import difflib
from collections.abc import Mapping
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from servicekit.door.body import check_text
from servicekit.door.policy import walk_dependants
from servicekit.errors import FieldProblem, Invalid, NotFound

LONGEST = 4_000
"""Characters of one parameter."""


def suggest_parameter(name: str, known: list[str]) -> str:
    """What to write instead of `name`, in words."""
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`? Otherwise leave it out"
    return "leave it out; known are " + ", ".join(f"`{each}`" for each in sorted(known)) if known else "leave it out"


def query_names(dependant: Dependant) -> dict[str, bool]:
    """The parameters that a handler knows, and whether it takes several of each."""
    fields = [field for each in walk_dependants(dependant) for field in each.query_params]
    return {field.alias: get_origin(field.field_info.annotation) in (list, set, tuple) for field in fields}


def check_parameters(request: Request, known: Mapping[str, bool]) -> None:
    """Raises Invalid for a parameter that the route does not know, that is given twice, or that holds what no database
    can, and NotFound for such an address: what is passed over in silence does something else than was asked for."""
    problems: list[FieldProblem] = []
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        pointer = "/query/" + name.replace("~", "~0").replace("/", "~1")[:100]
        if name not in known:
            problems.append(
                FieldProblem(pointer=pointer, problem="unknown here", cure=suggest_parameter(name, list(known)))
            )
        elif name in given and not known[name]:
            problems.append(FieldProblem(pointer=pointer, problem="given more than once", cure="give it once"))
        elif len(value) > LONGEST:
            cure = f"at most {LONGEST:,} characters"
            problems.append(FieldProblem(pointer=pointer, problem=f"{len(value):,} characters long", cure=cure))
        else:
            check_text(value, pointer)
        given[name] = value
    if any("\x00" in str(value) or "\ufffd" in str(value) for value in request.path_params.values()):
        raise NotFound("unknown-address", "There is nothing at this address: it holds what is no character.")
    if problems:
        told = ", ".join(problem.pointer.removeprefix("/query/") for problem in problems[:5])
        raise Invalid("bad-parameters", f"Parameters cannot be taken as they are: {told}.", errors=problems[:20])
