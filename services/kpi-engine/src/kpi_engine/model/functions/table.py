"""The table of operators, functions and aggregates, and the types of its entries. `register` adds one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Protocol, TypeVar, cast

from sqlglot import exp

from kpi_engine.model.columns import Column
from kpi_engine.model.tree import Node, Type, Unit

Evaluator = Callable[[Any], Any]
"""Computes the value of an expression from its inputs: an int or Fraction, 0 or 1 for a condition, a text or date; None is
unknown, as null in SQL."""
Possible = frozenset[Any]
"""The values that are possible: None, True, False, ZERO, or ANY other (`functions.possible`)."""
Wrong = Callable[..., Node]
"""`(at, problem, cure)`: adds a problem. Returns a node to use in place of the wrong one."""


@dataclass(frozen=True)
class Scope:
    """What an expression may use. `aggregates`: columns are allowed only inside one."""

    columns: Mapping[str, Column]
    aggregates: bool = False
    attributes: bool = False
    gaps: bool = False


class Checker(Protocol):
    """Converts sqlglot's trees, for entries with a syntax of their own. `current_aggregate`: the one that is being read."""

    scope: Scope
    text: str
    current_aggregate: str | None

    def check(self, tree: Any) -> Node:
        """Converts a tree of sqlglot's."""
        ...

    def start(self, tree: Any) -> int:
        """The offset of a tree in the text, in characters."""
        ...

    def only_inside(self, name: str, at: int) -> None:
        """Adds a problem for a column outside an aggregate, where columns must be inside one."""
        ...

    def add_problem(self, at: int, problem: str, cure: str = "") -> Node:
        """Adds a problem; returns a node to use in its place."""
        ...


@dataclass(frozen=True)
class Call:
    """An operation with its checked arguments, as type and unit rules receive it."""

    operation: "Operation"
    args: tuple[Node, ...]
    at: int
    wrong: Wrong


TypeRule = Callable[[Call], Type]
UnitRule = Callable[[Call, Sequence[Node]], Unit | None]
Writer = Callable[[Node], str]
Compiler = Callable[[Node, Sequence[Evaluator]], Evaluator]
"""The evaluator of a node, from those of its arguments."""
PossibleRule = Callable[[Sequence[Possible]], Possible]
"""The possible values of a result, from those of the arguments."""
FractionRule = Callable[[Node], tuple[Node, Node | None]]
"""Numerator and denominator of a node; no denominator when it is no fraction."""


@dataclass(frozen=True, kw_only=True)
class Syntax:
    """The syntax of an entry. `parsed_from`: the class that sqlglot parses it into (None: only other entries produce it).
    `operands`: that class's arguments with the operands, in order; other arguments but `ignored` are refused. `read`:
    converts an entry whose operands are no plain list. `words`: its keywords. `example`: one over the columns of a leg."""

    name: str
    description: str
    example: str
    parsed_from: type[exp.Expr] | None
    operands: tuple[str, ...] = ("this", "expression", "expressions")
    ignored: frozenset[str] = frozenset()
    read: Callable[[Checker, Any, int], Node] | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shorthand(Syntax):
    """An entry that is converted into other operations."""


@dataclass(frozen=True, kw_only=True)
class Operation(Syntax):
    """An operation on `arity` (least, most) arguments.

    `type_rule`: the type of the result, which also reports arguments that do not fit and uses `unit_rule` for the unit of a
    number. `dates`: a text beside a date is read as a date. `text`: renders it as a person would write it. `fraction`:
    numerator and denominator, for an operation that is a fraction or may contain one."""

    arity: tuple[int, int | None]
    type_rule: TypeRule
    unit_rule: UnitRule
    text: Writer
    dates: bool = False
    fraction: FractionRule | None = None
    symbol: str = ""

    @property
    def shown(self) -> str:
        """The symbol or name that its author wrote."""
        return self.symbol or self.name

    def node(self, args: Sequence[Node], at: int, wrong: Wrong) -> Node:
        """Builds the node of this operation on checked arguments. Reports arguments that do not fit."""
        least, most = self.arity
        if len(args) < least or (most is not None and len(args) > most):
            count = f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
            return wrong(at, f"`{self.shown}` has {len(args)} arguments.", f"It takes {count}: `{self.example}`.")
        if self.dates:
            args = _with_dates(args, wrong)
        return Node(self.name, tuple(args), type=self.type_rule(Call(self, tuple(args), at, wrong)), at=at)


def _with_dates(args: Sequence[Node], wrong: Wrong) -> Sequence[Node]:
    return [_as_date(arg, wrong) for arg in args] if any(arg.type.kind == "date" for arg in args) else args


def _as_date(node: Node, wrong: Wrong) -> Node:
    if node.op != "text":
        return node
    try:
        return Node("date", value=date.fromisoformat(node.value), type=Type("date"), at=node.at)
    except ValueError:
        return wrong(node.at, f"`{node.value}` is not a date.", "Write it like `'2026-03-02'`.")


@dataclass(frozen=True, kw_only=True)
class Scalar(Operation):
    """An operation on the values of one fact, or on those of aggregates.

    `compile`: the evaluator of the result from those of the arguments. `to_sql`: renders it for PostgreSQL. `possible`: the
    possible values of the result from those of the arguments."""

    compile: Compiler
    to_sql: Writer
    possible: PossibleRule


@dataclass(frozen=True, kw_only=True)
class Operator(Scalar):
    """Written between or around its operands. Targets may use comparisons."""

    group: Literal["arithmetic", "comparison", "logic", "choice"]


@dataclass(frozen=True, kw_only=True)
class Function(Scalar):
    """Written as `name(argument, …)`."""


@dataclass(frozen=True, kw_only=True)
class Aggregate(Operation):
    """Works over all facts that count. `partials`: the numbers that it is stored as, in order (`functions.partials`).
    `finish`: its evaluator, from their indexes among the components of the plan. `of_conditions`: a condition is allowed and
    counts as 0 or 1."""

    partials: tuple[str, ...]
    finish: Callable[..., Evaluator]
    of_conditions: bool = False


Entry = TypeVar("Entry", bound=Syntax)
_ENTRIES: dict[str, Syntax] = {}
_PARSED: dict[type[exp.Expr], Syntax] = {}


def register(entry: Entry) -> Entry:
    """Adds an entry to the table. Raises ValueError when its name, or what it is parsed from, is taken."""
    own_class = None if entry.parsed_from is exp.Anonymous else entry.parsed_from
    if entry.name in _ENTRIES or own_class in _PARSED:
        raise ValueError(f"`{entry.name}` is registered already")
    _ENTRIES[entry.name] = entry
    if own_class is not None:
        _PARSED[own_class] = entry
    return entry


def entries() -> tuple[Syntax, ...]:
    """The whole table, in the order of registration."""
    return tuple(_ENTRIES.values())


def function_names() -> tuple[str, ...]:
    """The names of aggregates and functions, aggregates first."""
    found = [each for each in entries() if isinstance(each, Function | Aggregate)]
    return tuple(each.name for each in sorted(found, key=lambda each: not isinstance(each, Aggregate)))


def syntax_of(tree: Any) -> Syntax | None:
    """The entry for a node of sqlglot's; None when there is none."""
    kind = cast(type[Any], type(tree))
    if kind is not exp.Anonymous:
        return _PARSED.get(kind)
    found = _ENTRIES.get(str(tree.this).lower())
    return found if found is not None and found.parsed_from is exp.Anonymous else None


def operation(op: str) -> Operation | None:
    """The entry of a node's `op`; None for literals and names."""
    found = _ENTRIES.get(op)
    return found if isinstance(found, Operation) else None


def require_scalar(op: str) -> Scalar:
    """The entry of an operation on single values. Raises KeyError for anything else, such as an aggregate."""
    found = _ENTRIES.get(op)
    if not isinstance(found, Scalar):
        raise KeyError(op)
    return found


def aggregate(op: str) -> Aggregate | None:
    """The entry of an aggregate; None for anything else."""
    found = _ENTRIES.get(op)
    return found if isinstance(found, Aggregate) else None


def comparison(op: str) -> bool:
    """Whether a node's `op` compares."""
    found = _ENTRIES.get(op)
    return isinstance(found, Operator) and found.group == "comparison"
