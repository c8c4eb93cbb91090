"""What facts without an agent do to a KPI: whether they count in it at all, and whether only they do.

Found from the expression alone, by working through it with what a column may hold. A leg that nobody took has no
talk, hold, or conversation and was not answered; a leg that somebody took was not abandoned.
"""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from kpi_engine.model.plan import Component, Plan
from kpi_engine.model.tree import Node

May = frozenset[Any]
"""What an expression may be: None, True, False, ZERO, or ANY other value."""

ANY, ZERO = "any", "zero"  # not 0, which Python holds to be False
_FLAG: May = frozenset({None, True, False})
_NUMBER: May = frozenset({None, ZERO, ANY})
_NULL: May = frozenset({None})

_UNTAKEN: Mapping[str, May] = {
    **dict.fromkeys(
        ("ring_ms", "talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence_vendor_ms", "overtalk_ms",
         "interruptions", "csat", "nps", "qa_score", "sentiment"), _NULL),
    "answered": frozenset({None, False}),
    "silence": _NULL,
}  # fmt: skip
_TAKEN: Mapping[str, May] = {"abandoned": frozenset({None, False})}

REASON = "it measures what happens to calls that no agent has taken: it has no value for an agent or a team"


def counts_nobody(plan: Plan) -> bool:
    """Whether a leg that nobody took may give something to the value."""
    return True in _passes(plan, _UNTAKEN) and any(_gives(each, _UNTAKEN) for each in plan.components)


def only_nobody(plan: Plan) -> bool:
    """Whether the value is a ratio whose upper part only legs that nobody took can make: of agents it would always read
    0, which is not what is so."""
    above, below = plan.fraction
    if below is None or True not in _passes(plan, _UNTAKEN):
        return False
    return _total(above, _UNTAKEN) - {None, ZERO} != frozenset() and not _total(above, _TAKEN) - {None, ZERO}


def _passes(plan: Plan, known: Mapping[str, May]) -> May:
    return frozenset({True}) if plan.where is None else _may(plan.where, known)


def _gives(component: Component, known: Mapping[str, May]) -> bool:
    if component.arg is None:
        return True
    nothing = {None, ZERO} if component.kind == "sum" else {None}
    return bool(_may(component.arg, known) - nothing)


def _total(node: Node, known: Mapping[str, May]) -> May:
    """What an expression over sums and counts may be, when all legs are of the `known` kind."""
    if node.op in ("sum", "count", "avg", "min", "max"):
        gives = _gives(Component(node.op if node.op != "avg" else "sum", node.args[0] if node.args else None), known)
        return _NUMBER if gives else frozenset({None, ZERO})
    return _worked(node, lambda arg: _total(arg, known))


def _may(node: Node, known: Mapping[str, May]) -> May:
    if node.op in ("column", "silence"):
        name = "silence" if node.op == "silence" else node.value
        kind = {"flag": _FLAG, "number": _NUMBER}.get(node.type.kind, frozenset({None, ANY}))
        return known.get(name, kind)
    return _worked(node, lambda arg: _may(arg, known))


def _worked(node: Node, may: Callable[[Node], May]) -> May:
    args = [may(arg) for arg in node.args]
    match node.op:
        case "number":
            return frozenset({ZERO if node.value == 0 else ANY})
        case "text" | "date":
            return frozenset({ANY})
        case "flag":
            return frozenset({bool(node.value)})
        case "null":
            return _NULL
        case "attribute":
            return frozenset({None, ANY})
        case "0 or 1":
            return frozenset({True: ANY, False: ZERO}.get(each, each) for each in args[0])
        case "not":
            return frozenset(each if each is None else not each for each in args[0])
        case "is null":
            return frozenset(each is None for each in args[0])
        case "and":
            return frozenset(_and(each) for each in product(*args))
        case "or":
            return frozenset(_or(each) for each in product(*args))
        case "case":
            found: May = frozenset()
            for when, then in zip(args[:-1:2], args[1::2], strict=True):
                if True in when:
                    found |= then
                if when == {True}:
                    return found
            return found | args[-1]
        case "coalesce":
            found = frozenset()
            for each in args:
                found |= each - {None}
                if None not in each:
                    return found
            return found | {None}
        case "nullif":
            return args[0] | {None}
        case "+" | "-":
            return frozenset(
                {None if None in each else ZERO if each == (ZERO, ZERO) else ANY for each in product(*args)}
            )
        case "*":
            return frozenset({None if None in each else ZERO if ZERO in each else ANY for each in product(*args)})
        case "/":
            return frozenset({None if None in each or each[1] == ZERO else each[0] for each in product(*args)})
        case "neg" | "abs":
            return args[0]
        case _:  # a comparison, or `in`
            values = [each - {None} for each in args]
            if not all(values):
                return _NULL
            unknown = _NULL if any(None in each for each in args) else frozenset[Any]()
            if node.op == "=" and all(len(each) == 1 and ANY not in each for each in values):
                return unknown | {len(frozenset[Any]().union(*values)) == 1}
            return unknown | {True, False}


def _and(values: tuple[Any, ...]) -> bool | None:
    return False if False in values else None if None in values else True


def _or(values: tuple[Any, ...]) -> bool | None:
    return True if True in values else None if None in values else False
