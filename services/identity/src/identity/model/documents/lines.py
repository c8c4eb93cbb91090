"""Where in the text something stands."""

from dataclasses import dataclass, field

import yaml
from servicekit.errors import FieldProblem, Invalid

from identity.model.documents.events import events
from identity.model.fields import escape_pointer_step


@dataclass(slots=True)
class _Wanted:
    """A step of pointers that are looked for, and where it was found."""

    inside: dict[str, "_Wanted"] = field(default_factory=dict[str, "_Wanted"])
    mark: yaml.Mark | None = None


@dataclass(slots=True)
class _Passing:
    """A list or mapping that is being passed through. `wanted` None: nothing inside of it is. `step`: the number, or the
    key of the value that comes next; `mark`: of that key."""

    wanted: _Wanted | None
    is_list: bool
    step: int | str | None = None
    mark: yaml.Mark | None = None


def add_line_numbers(problems: list[FieldProblem], text: str) -> list[FieldProblem]:
    """The same problems, with line and column of what their pointers point to, as far as it is there."""
    root = _Wanted()
    for problem in problems:
        wanted = root
        for step in problem.pointer.split("/")[1:]:
            wanted = wanted.inside.setdefault(step, _Wanted())
    try:
        _locate(root, text)
    except Invalid:
        return problems
    return [_located(problem, root) for problem in problems]


def _locate(root: _Wanted, text: str) -> None:
    """One pass, however many are looked for. What an alias stands for is where the alias is."""
    passing: list[_Passing] = []
    for event in events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            passing.pop()
            continue
        outer, here = passing[-1] if passing else None, root
        if outer is None:
            root.mark = event.start_mark
        elif outer.is_list:
            outer.step = 0 if outer.step is None else int(outer.step) + 1
            here = _found(outer, event.start_mark)
        elif outer.step is None:
            outer.step, outer.mark = escape_pointer_step(getattr(event, "value", "")), event.start_mark
            continue
        else:
            here = _found(outer, outer.mark)
            outer.step = None
        if isinstance(event, yaml.CollectionStartEvent):
            passing.append(_Passing(here, isinstance(event, yaml.SequenceStartEvent)))


def _found(outer: _Passing, mark: yaml.Mark | None) -> _Wanted | None:
    here = outer.wanted.inside.get(str(outer.step)) if outer.wanted is not None else None
    if here is not None and here.mark is None:
        here.mark = mark
    return here


def _located(problem: FieldProblem, root: _Wanted) -> FieldProblem:
    wanted, mark = root, root.mark
    for step in problem.pointer.split("/")[1:]:
        wanted = wanted.inside[step]
        if wanted.mark is None:
            break
        mark = wanted.mark
    return problem.model_copy(update={"line": mark.line + 1, "column": mark.column + 1}) if mark else problem
