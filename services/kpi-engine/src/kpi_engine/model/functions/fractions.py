"""Splits an expression into one numerator and denominator, with constant factors and averages included."""

from fractions import Fraction

from kpi_engine.model.functions.table import operation
from kpi_engine.model.tree import Node, Type

Parts = tuple[Node, Node | None]
"""Numerator and denominator; no denominator when it is no fraction."""


def fraction_of(node: Node) -> Parts:
    """The numerator and denominator of `node`."""
    entry = operation(node.op)
    return (node, None) if entry is None or entry.fraction is None else entry.fraction(node)


# How entries are fractions


def average(node: Node) -> Parts:
    """The sum over the count of the known values."""
    return Node("sum", node.args, type=node.type), Node("count", node.args, type=node.type)


def negated(node: Node) -> Parts:
    """The sign goes to the numerator."""
    above, below = fraction_of(node.args[0])
    return (Node(node.op, (above,), type=node.type), below) if below else (node, None)


def multiplied(node: Node) -> Parts:
    """Numerators and denominators of both sides, multiplied."""
    sides = [fraction_of(arg) for arg in node.args]
    if all(below is None for _, below in sides):
        return node, None
    return _product([above for above, _ in sides]), _product([below for _, below in sides if below])


def divided(node: Node) -> Parts:
    """The divisor joins the denominator."""
    # A fraction in the divisor stays as it is: inverting it would hide that its own denominator may be 0.
    above, below = fraction_of(node.args[0])
    return above, _product([below, node.args[1]]) if below else node.args[1]


def _product(factors: list[Node]) -> Node:
    constant = Fraction(1)
    rest: list[Node] = []
    for factor in factors:
        if factor.op == "number":
            constant *= factor.value
        else:
            rest.append(factor)
    if constant != 1 or not rest:
        rest.insert(0, Node("number", value=constant, type=Type("number", None)))
    product = rest[0]
    for factor in rest[1:]:
        product = Node("*", (product, factor), type=Type("number"))
    return product
