"""How deep plain data is nested: asked before anything that recurses walks over it."""

from collections.abc import Iterable
from typing import Any, cast

from servicekit.errors import FieldProblem


def is_deeper_than(data: Any, levels: int) -> bool:
    """Whether lists and mappings stand inside of one another more than `levels` deep. Does not recurse."""
    waiting = [(data, 1)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict | list):
            if depth > levels:
                return True
            parts: Iterable[Any] = cast("Any", each).values() if isinstance(each, dict) else cast("list[Any]", each)
            waiting.extend((below, depth + 1) for below in parts)
    return False


def find_depth_problems(data: Any, levels: int) -> list[FieldProblem]:
    """One problem for what is nested deeper, none for anything else."""
    if not is_deeper_than(data, levels):
        return []
    return [FieldProblem(problem=f"it is nested more than {levels} levels deep", cure="write it flatter")]
