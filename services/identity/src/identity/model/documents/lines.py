"""The positions of JSON pointers in the text of a document."""

from dataclasses import dataclass, field

import yaml
from servicekit.errors import FieldProblem, Invalid

from identity.model.documents.events import parse_events
from identity.model.fields import escape_pointer_step


@dataclass(slots=True)
class _PointerStep:
    """A node in the tree of the pointers to locate: the steps below it, and its position once it is found."""

    inside: dict[str, "_PointerStep"] = field(default_factory=dict[str, "_PointerStep"])
    mark: yaml.Mark | None = None


@dataclass(slots=True)
class _OpenCollection:
    """A list or mapping whose end is to come. `step_node` None: no pointer leads into it. `step`: the index of the last item, or the
    key of the next value; `mark`: the position of that key."""

    step_node: _PointerStep | None
    is_list: bool
    step: int | str | None = None
    mark: yaml.Mark | None = None


def add_line_numbers(problems: list[FieldProblem], text: str) -> list[FieldProblem]:
    """The same problems with line and column, counted from 1, of what their pointers name, or of its nearest parent that
    exists."""
    root = _PointerStep()
    for problem in problems:
        step_node = root
        for step in problem.pointer.split("/")[1:]:
            step_node = step_node.inside.setdefault(step, _PointerStep())
    try:
        _locate(root, text)
    except Invalid:
        return problems
    return [_with_position(problem, root) for problem in problems]


def _locate(root: _PointerStep, text: str) -> None:
    """Sets the positions in one pass. The position of an aliased value is that of the alias."""
    open_collections: list[_OpenCollection] = []
    for event in parse_events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            open_collections.pop()
            continue
        outer, here = open_collections[-1] if open_collections else None, root
        if outer is None:
            root.mark = event.start_mark
        elif outer.is_list:
            outer.step = 0 if outer.step is None else int(outer.step) + 1
            here = _mark_step(outer, event.start_mark)
        elif outer.step is None:
            outer.step, outer.mark = escape_pointer_step(getattr(event, "value", "")), event.start_mark
            continue
        else:
            here = _mark_step(outer, outer.mark)
            outer.step = None
        if isinstance(event, yaml.CollectionStartEvent):
            open_collections.append(_OpenCollection(here, isinstance(event, yaml.SequenceStartEvent)))


def _mark_step(outer: _OpenCollection, mark: yaml.Mark | None) -> _PointerStep | None:
    here = outer.step_node.inside.get(str(outer.step)) if outer.step_node is not None else None
    if here is not None and here.mark is None:
        here.mark = mark
    return here


def _with_position(problem: FieldProblem, root: _PointerStep) -> FieldProblem:
    step_node, mark = root, root.mark
    for step in problem.pointer.split("/")[1:]:
        step_node = step_node.inside[step]
        if step_node.mark is None:
            break
        mark = step_node.mark
    return problem.model_copy(update={"line": mark.line + 1, "column": mark.column + 1}) if mark else problem
