"""Evaluates expressions: a tree is compiled once into Python functions; null is None."""

import operator
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from kpi_engine.model.functions.table import Evaluator, require_scalar
from kpi_engine.model.functions.text import text_of
from kpi_engine.model.numbers import Exact
from kpi_engine.model.tree import Node

Leaf = Callable[[Node], Evaluator | None]
"""The evaluator of an input, a column or an aggregate; None for a node that is computed from its arguments."""


class Undefined(Exception):
    """The value is undefined; the text says why."""


def compile(node: Node, leaf: Leaf) -> Evaluator:
    """Compiles `node` into a function of the inputs that `leaf` reads. It returns an int or Fraction in the unit of the
    node's type, 0 or 1 for a condition, None for unknown, and raises Undefined for a division by zero. Raises KeyError for
    a name or aggregate that `leaf` does not know."""
    leaf_evaluator = leaf(node)
    if leaf_evaluator is not None:
        return leaf_evaluator
    match node.op:
        case "number":
            number: Exact = node.value.numerator if node.value.denominator == 1 else node.value
            return lambda _: number
        case "flag":
            flag = int(node.value)
            return lambda _: flag
        case "text" | "date" | "null":
            constant = node.value
            return lambda _: constant
        case _:
            return require_scalar(node.op).compile(node, [compile(arg, leaf) for arg in node.args])


def evaluate(node: Node, values: Any, leaf: Leaf) -> Any:
    """Compiles and evaluates `node` once. See `compile`."""
    return compile(node, leaf)(values)


# How entries compile. Nearly all are unknown when an argument is.


def strict(work: Callable[..., Any]) -> Callable[[Node, Sequence[Evaluator]], Evaluator]:
    """Applies `work` to the arguments; unknown when one of them is."""

    def compiled(node: Node, args: Sequence[Evaluator]) -> Evaluator:
        if len(args) == 1:
            (only,) = args
            return lambda values: None if (value := only(values)) is None else work(value)
        if len(args) > 2:
            return lambda values: None if None in (operands := [arg(values) for arg in args]) else work(*operands)
        first, second = args

        def both(values: Any) -> Any:
            left, right = first(values), second(values)
            return None if left is None or right is None else work(left, right)

        return both

    return compiled


def compared(work: Callable[[Any, Any], bool]) -> Callable[[Node, Sequence[Evaluator]], Evaluator]:
    """Compares two arguments: 1 or 0; unknown when one of them is."""

    def compiled(node: Node, args: Sequence[Evaluator]) -> Evaluator:
        first, second = args

        def compare(values: Any) -> int | None:
            left, right = first(values), second(values)
            return None if left is None or right is None else int(work(left, right))

        return compare

    return compiled


def divided(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """The exact quotient of the first by the second. Raises Undefined when that is 0."""
    above, below = args
    divisor = text_of(node.args[1])

    def divide(values: Any) -> Exact | None:
        top, bottom = above(values), below(values)
        if top is None or bottom is None:
            return None
        if bottom == 0:
            raise Undefined(f"division by zero: {divisor} is 0")
        return ratio(top, bottom)

    return divide


def all_hold(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """0 when an argument is, unknown when one is, else 1. Arguments after a 0 are not evaluated."""
    return lambda values: _all(arg(values) for arg in args)


def any_holds(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """1 when an argument is, unknown when one is, else 0. Arguments after a 1 are not evaluated."""
    return lambda values: _not(_all(_not(arg(values)) for arg in args))


def negated(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """1 for 0, 0 for 1."""
    (inner,) = args
    return lambda values: _not(inner(values))


def is_unknown(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """1 or 0, never unknown."""
    (inner,) = args
    return lambda values: int(inner(values) is None)


def is_one_of(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """Whether the first argument equals one of the others."""
    subject, *options = args
    equal = compared(operator.eq)
    return any_holds(node, [equal(node, (subject, option)) for option in options])


def chosen(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """The result of the first condition that holds, else the last argument."""
    pairs, otherwise = list(zip(args[:-1:2], args[1::2], strict=True)), args[-1]

    def choose(values: Any) -> Any:
        for when, then in pairs:
            if when(values):
                return then(values)
        return otherwise(values)

    return choose


def first_known(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """The first argument that is known. Those after it are not evaluated."""
    return lambda values: next((value for arg in args if (value := arg(values)) is not None), None)


def unless_equal(node: Node, args: Sequence[Evaluator]) -> Evaluator:
    """The first argument, unless it equals the second."""
    first, second = args

    def value_of(values: Any) -> Any:
        value = first(values)
        return None if value == second(values) else value

    return value_of


def ratio(above: Exact | None, below: Exact | None) -> Exact | None:
    """Exact; unknown when either is. `below` is not 0."""
    if above is None or below is None:
        return None
    found = Fraction(above, below)
    return found.numerator if found.denominator == 1 else found


def _all(values: Iterable[Exact | None]) -> int | None:
    unknown = False
    for value in values:
        if value is None:
            unknown = True
        elif not value:
            return 0
    return None if unknown else 1


def _not(value: Exact | None) -> int | None:
    return None if value is None else int(not value)
