"""Checks the nesting depth of plain data, before recursive code walks over it."""

from collections.abc import Iterable
from typing import Any, cast

from servicekit.errors import FieldProblem


def is_deeper_than(data: Any, levels: int) -> bool:
    """Whether lists and mappings are nested more than `levels` deep. Does not recurse."""
    stack = [(data, 1)]
    while stack:
        each, depth = stack.pop()
        if isinstance(each, dict | list):
            if depth > levels:
                return True
            parts: Iterable[Any] = cast("Any", each).values() if isinstance(each, dict) else cast("list[Any]", each)
            stack.extend((below, depth + 1) for below in parts)
    return False


def find_depth_problems(data: Any, levels: int) -> list[FieldProblem]:
    """One problem when `data` is nested more than `levels` deep, else none."""
    if not is_deeper_than(data, levels):
        return []
    return [FieldProblem(problem=f"it is nested more than {levels} levels deep", cure="write it flatter")]
