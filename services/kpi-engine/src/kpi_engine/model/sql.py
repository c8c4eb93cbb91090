"""PostgreSQL text for expressions over one fact, which the statement around it calls `f`.

Written from the checked tree alone: names come from our own list of columns, texts are quoted here. Arithmetic is in
`numeric`, so it neither rounds nor overflows; a division by zero is null.
"""

import re

from kpi_engine.model.numbers import decimal_text
from kpi_engine.model.tree import Node, Silence

_GAPS = (
    "(SELECT coalesce(sum(length), 0) FROM (SELECT f.gaps[i][2] - f.gaps[i][1] AS length "
    "FROM generate_subscripts(f.gaps, 1) AS i) AS gap WHERE length >= {min_gap_ms})"
)


def scalar(node: Node) -> str:
    """One value per fact. Raises KeyError for an aggregate, which is no value of one fact."""
    match node.op:
        case "number":
            return decimal_text(node.value, 9)
        case "text":
            return literal(node.value)
        case "date":
            return f"DATE '{node.value.isoformat()}'"
        case "flag":
            return "TRUE" if node.value else "FALSE"
        case "null":
            return "NULL"
        case "column":
            return f"f.{node.value}"
        case "attribute":
            return f"(f.attributes ->> {literal(node.value)})"
        case "silence":
            return _silence(node.value)
        case "+" | "-" | "*":
            left, right = (_numeric(arg) for arg in node.args)
            return f"({left} {node.op} {right})"
        case "/":
            left, right = (_numeric(arg) for arg in node.args)
            return f"({left} / nullif({right}, 0))"
        case "neg":
            return f"(- {_numeric(node.args[0])})"
        case "abs":
            return f"abs({_numeric(node.args[0])})"
        case "0 or 1":
            return f"({scalar(node.args[0])})::int"
        case "not":
            return f"(NOT {scalar(node.args[0])})"
        case "is null":
            return f"({scalar(node.args[0])} IS NULL)"
        case "in":
            subject, *options = (scalar(arg) for arg in node.args)
            return f"({subject} IN ({', '.join(options)}))"
        case "case":
            args = [scalar(arg) for arg in node.args]
            whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(args[:-1:2], args[1::2], strict=True))
            return f"(CASE {whens} ELSE {args[-1]} END)"
        case "coalesce" | "nullif":
            return f"{node.op}({', '.join(scalar(arg) for arg in node.args)})"
        case op:
            symbol = _INFIX[op]
            return "(" + f" {symbol} ".join(scalar(arg) for arg in node.args) + ")"


def literal(text: str) -> str:
    """A text constant. Anything but plain words travels as hex, so that no layer in between can read a meaning into
    a quote, a colon or a per cent sign."""
    if re.fullmatch(r"[\w .-]*", text):
        return f"'{text}'"
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


_INFIX = {"=": "=", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "and": "AND", "or": "OR"}


def _numeric(node: Node) -> str:
    return f"{scalar(node)}::numeric"


def _silence(silence: Silence) -> str:
    if silence.min_gap_ms is None:
        base = "f.silence_vendor_ms"
    else:
        # An unknown list is unknown silence; an empty list is none.
        base = f"(CASE WHEN f.gaps IS NOT NULL THEN {_GAPS.format(min_gap_ms=silence.min_gap_ms)} END)"
    return f"({base}::numeric + f.hold_ms::numeric)" if silence.hold else base
