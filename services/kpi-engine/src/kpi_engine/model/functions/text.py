"""Renders expressions as a person would write them."""

from kpi_engine.model.functions.table import Operator, operation
from kpi_engine.model.numbers import decimal_text
from kpi_engine.model.tree import Node

_SHOWN = 80


def text_of(node: Node) -> str:
    """The text of an expression, which parses into the same tree."""
    entry = operation(node.op)
    if entry is not None:
        return entry.text(node)
    match node.op:
        case "number":
            return decimal_text(node.value, 9)
        case "text" | "date":
            return f"'{node.value}'"
        case "flag":
            return "true" if node.value else "false"
        case "null":
            return "null"
        case "column":
            return node.value
        case "attribute":
            return f"attributes.{node.value}"
        case _:
            raise KeyError(node.op)


def shown_text(node: Node) -> str:
    """The text of an expression, cut to 80 characters."""
    text = text_of(node)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def wrapped(node: Node) -> str:
    """The text of an operand, with operators in parentheses."""
    return f"({text_of(node)})" if isinstance(operation(node.op), Operator) else text_of(node)


def infix(node: Node) -> str:
    """`a + b`."""
    return f" {node.op} ".join(map(wrapped, node.args))


def call(node: Node) -> str:
    """`name(a, b)`."""
    return f"{node.op}({', '.join(map(text_of, node.args))})"
