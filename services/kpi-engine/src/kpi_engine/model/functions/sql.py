"""Renders expressions over one fact, with the alias `f`, as SQL of PostgreSQL.

It uses the checked tree alone: names come from our own list of columns, texts are quoted here. Arithmetic is in
`numeric`, so it neither rounds nor overflows; a division by zero is null.
"""

import re

from kpi_engine.model.functions.table import Writer, require_scalar
from kpi_engine.model.numbers import decimal_text
from kpi_engine.model.tree import Node


def to_sql(node: Node) -> str:
    """The expression, with one value per fact. Raises KeyError for an aggregate."""
    match node.op:
        case "number":
            return decimal_text(node.value, 9)
        case "text":
            return render_literal(node.value)
        case "date":
            return f"DATE '{node.value.isoformat()}'"
        case "flag":
            return "TRUE" if node.value else "FALSE"
        case "null":
            return "NULL"
        case "column":
            return f"f.{node.value}"
        case "attribute":
            return f"(f.attributes ->> {render_literal(node.value)})"
        case _:
            return require_scalar(node.op).to_sql(node)


def render_literal(text: str) -> str:
    """A text constant. Anything but plain words is rendered as hex, so that no layer in between can interpret a quote, a
    colon or a per cent sign."""
    if re.fullmatch(r"[\w .-]*", text):
        return f"'{text}'"
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def numeric(node: Node) -> str:
    """An expression of numbers as PostgreSQL's `numeric`."""
    return f"{to_sql(node)}::numeric"


def infix(symbol: str) -> Writer:
    """`(a = b)`."""
    return lambda node: "(" + f" {symbol} ".join(map(to_sql, node.args)) + ")"


def numeric_infix(symbol: str) -> Writer:
    """`(a::numeric + b::numeric)`."""
    return lambda node: "(" + f" {symbol} ".join(map(numeric, node.args)) + ")"


def call(node: Node) -> str:
    """`name(a, b)`."""
    return f"{node.op}({', '.join(map(to_sql, node.args))})"


def numeric_call(node: Node) -> str:
    """`name(a::numeric, b::numeric)`."""
    return f"{node.op}({', '.join(map(numeric, node.args))})"
