"""The tree of a checked expression."""

from dataclasses import dataclass, field
from typing import Any

from kpi_engine.model.columns import Kind
from kpi_engine.model.numbers import decimal_text

AGGREGATES = ("sum", "count", "avg", "min", "max")
FUNCTIONS = (*AGGREGATES, "abs", "coalesce", "nullif", "silence")

Unit = tuple[tuple[str, int], ...]  # (("ms", 1),): milliseconds; (): a plain number


@dataclass(frozen=True)
class Type:
    """`unit` None is a constant, which takes the unit of what it meets. `quotient`: a division gave it."""

    kind: Kind
    unit: Unit | None = ()
    quotient: bool = False


@dataclass(frozen=True)
class Node:
    """One operation. `op` is a literal (`number text flag date null`), a name (`column attribute silence`), an
    operator, or a function; `case` holds condition, result, condition, result, …, otherwise; `0 or 1` counts a flag."""

    op: str
    args: tuple["Node", ...] = ()
    value: Any = None
    type: Type = field(default=Type("unknown"), compare=False)
    at: int = field(default=0, compare=False)

    def walk(self) -> "list[Node]":
        return [self, *(below for arg in self.args for below in arg.walk())]


@dataclass(frozen=True)
class Silence:
    """Which silence counts: the vendor's own figure, or gaps of at least `min_gap_ms`; plus the leg's hold time."""

    min_gap_ms: int | None = None
    hold: bool = False

    def words(self) -> str:
        if self.min_gap_ms is None:
            base = "the vendor's own figure of silence"
        else:
            base = f"the silent gaps the vendor lists that last at least {self.min_gap_ms} ms, summed"
        return f"{base}, plus the leg's whole hold time" if self.hold else base


def text_of(node: Node) -> str:
    """The expression as a person would write it."""
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
        case "silence":
            silence: Silence = node.value
            given = [f"min_gap_ms => {silence.min_gap_ms}"] if silence.min_gap_ms is not None else []
            given += ["hold => true"] if silence.hold else []
            return f"silence({', '.join(given)})"
        case "neg":
            return f"-{_wrapped(node.args[0])}"
        case "not":
            (inner,) = node.args
            if inner.op == "is null":
                return f"{_wrapped(inner.args[0])} is not null"
            return f"not {_wrapped(inner)}"
        case "is null":
            return f"{_wrapped(node.args[0])} is null"
        case "in":
            return f"{_wrapped(node.args[0])} in ({', '.join(map(text_of, node.args[1:]))})"
        case "case":
            args = [text_of(arg) for arg in node.args]
            whens = [f"when {when} then {then}" for when, then in zip(args[:-1:2], args[1::2], strict=True)]
            otherwise = [] if node.args[-1].op == "null" else [f"else {args[-1]}"]
            return " ".join(["case", *whens, *otherwise, "end"])
        case "0 or 1":
            return text_of(node.args[0])
        case "count" if not node.args:
            return "count(*)"
        case op if op in FUNCTIONS:
            return f"{op}({', '.join(map(text_of, node.args))})"
        case op:
            return f" {op} ".join(_wrapped(arg) for arg in node.args)


def _wrapped(node: Node) -> str:
    simple = node.op in ("number", "text", "date", "flag", "null", "column", "attribute", "silence", *FUNCTIONS)
    return text_of(node) if simple else f"({text_of(node)})"
