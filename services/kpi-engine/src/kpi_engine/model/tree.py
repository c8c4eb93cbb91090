"""The tree of a checked expression."""

from dataclasses import dataclass, field
from typing import Any

from kpi_engine.model.columns import Kind

LITERALS = frozenset({"number", "text", "date", "flag", "null"})
NAMES = frozenset({"column", "attribute"})

Unit = tuple[tuple[str, int], ...]  # (("ms", 1),): milliseconds; (): a plain number


@dataclass(frozen=True)
class Type:
    """`unit` None is a constant, which takes the unit of what it meets. `quotient`: a division gave it."""

    kind: Kind
    unit: Unit | None = ()
    quotient: bool = False


UNKNOWN, FLAG, NULL = Type("unknown"), Type("flag"), Type("null", None)


@dataclass(frozen=True)
class Node:
    """`op` is a literal or name, which stands in `value` (`LITERALS`, `NAMES`), or the name of an operation in the table
    `kpi_engine.model.functions`, which works on `args`. `at` is where it stands in the text, in characters."""

    op: str
    args: tuple["Node", ...] = ()
    value: Any = None
    type: Type = field(default=UNKNOWN, compare=False)
    at: int = field(default=0, compare=False)

    def walk(self) -> "list[Node]":
        """This node and all below it, from the left; a part that stands in it twice comes twice."""
        return [self, *(below for arg in self.args for below in arg.walk())]


@dataclass(frozen=True)
class Silence:
    """Which silence counts: the vendor's own figure, or gaps of at least `min_gap_ms`; plus the leg's hold time."""

    min_gap_ms: int | None = None
    hold: bool = False

    def describe(self) -> str:
        """As it is printed beside a value."""
        if self.min_gap_ms is None:
            base = "the vendor's own figure of silence"
        else:
            base = f"the silent gaps the vendor lists that last at least {self.min_gap_ms} ms, summed"
        return f"{base}, plus the leg's whole hold time" if self.hold else base
