"""The tree of a checked expression."""

from dataclasses import dataclass, field
from typing import Any

from kpi_engine.model.columns import Kind

LITERALS = frozenset({"number", "text", "date", "flag", "null"})
NAMES = frozenset({"column", "attribute"})

Unit = tuple[tuple[str, int], ...]  # (("ms", 1),): milliseconds; (): a plain number


@dataclass(frozen=True)
class Type:
    """The type of an expression. `unit` None: a constant, which takes the unit of the other side. `quotient`: the result of a
    division."""

    kind: Kind
    unit: Unit | None = ()
    quotient: bool = False


UNKNOWN, FLAG, NULL = Type("unknown"), Type("flag"), Type("null", None)


@dataclass(frozen=True)
class Node:
    """A node. `op` is one of `LITERALS` or `NAMES`, with its `value`, or the name of an operation in the table of
    `kpi_engine.model.functions`, with its `args`. `at`: the offset in the text, in characters."""

    op: str
    args: tuple["Node", ...] = ()
    value: Any = None
    type: Type = field(default=UNKNOWN, compare=False)
    at: int = field(default=0, compare=False)

    def walk(self) -> "list[Node]":
        """This node and all below it, from the left; a part that occurs twice comes twice."""
        return [self, *(below for arg in self.args for below in arg.walk())]


@dataclass(frozen=True)
class Silence:
    """How silence is measured: the vendor's figure, or gaps of at least `min_gap_ms`; with `hold` plus the hold time."""

    min_gap_ms: int | None = None
    hold: bool = False

    def describe(self) -> str:
        """In words, as shown beside a value."""
        if self.min_gap_ms is None:
            base = "the vendor's own figure of silence"
        else:
            base = f"the silent gaps the vendor lists that last at least {self.min_gap_ms} ms, summed"
        return f"{base}, plus the leg's whole hold time" if self.hold else base
