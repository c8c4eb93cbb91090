"""What a model needs of the facts, and how a value comes of it: sums first, one exact division last."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal

from kpi_engine.model import sql
from kpi_engine.model.numbers import Exact, decimal_text, exact
from kpi_engine.model.tree import Node, Silence, Type, text_of

ComponentKind = Literal["sum", "count", "min", "max"]
Parts = Sequence[Exact | None]


@dataclass(frozen=True)
class Component:
    """One aggregate over the facts that count; `arg` None counts them all."""

    kind: ComponentKind
    arg: Node | None = None

    @property
    def retractable(self) -> bool:
        """Whether a fact's part can be taken back without looking at the other facts."""
        return self.kind in ("sum", "count")

    @property
    def contribution_sql(self) -> str:
        """What one fact `f` that counts gives to it."""
        if self.arg is None:
            return "1"
        value = sql.scalar(self.arg)
        return f"({value} IS NOT NULL)::int" if self.kind == "count" else value

    @property
    def name(self) -> str:
        return text_of(Node(self.kind, (self.arg,) if self.arg else ()))


@dataclass(frozen=True)
class Value:
    """`value` None comes with a `reason`. `parts` are the aggregates as the model wrote them."""

    value: Exact | None
    sample: int
    reason: str | None = None
    numerator: Exact | None = None
    denominator: Exact | None = None
    parts: tuple[tuple[str, Exact | None], ...] = ()

    @cached_property
    def text(self) -> str | None:
        return None if self.value is None else decimal_text(self.value)


class _Nothing(Exception):
    """There is no value; the text says why."""


@dataclass(frozen=True)
class Plan:
    """`where` and `value` as checked. Facts pass when `where` is true (not null)."""

    where: Node | None
    value: Node

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """In stable order. Each sum comes with the count of its known values, so that "none known" survives retraction."""
        found: dict[Component, None] = {}
        for node in self.value.walk():
            arg = node.args[0] if node.args else None
            if node.op in ("sum", "avg"):
                found |= {Component("sum", arg): None, Component("count", arg): None}
            elif node.op in ("count", "min", "max"):
                found[Component(node.op, arg)] = None
        return tuple(found)

    @property
    def retractable(self) -> bool:
        return all(component.retractable for component in self.components)

    @property
    def where_sql(self) -> str:
        return "TRUE" if self.where is None else sql.scalar(self.where)

    @cached_property
    def conditions(self) -> tuple[Node, ...]:
        """The parts of `where` that must all hold."""

        def split(node: Node) -> list[Node]:
            return [part for arg in node.args for part in split(arg)] if node.op == "and" else [node]

        return tuple(split(self.where)) if self.where else ()

    @property
    def silences(self) -> tuple[Silence, ...]:
        nodes = [*self.value.walk(), *(self.where.walk() if self.where else [])]
        return tuple(dict.fromkeys(node.value for node in nodes if node.op == "silence"))

    @cached_property
    def fraction(self) -> tuple[Node, Node | None]:
        """Numerator and denominator of the root; no denominator when the root is no division."""
        return _as_fraction(self.value)

    def answer(self, components: Sequence[Decimal | int | None], sample: int, *, parts: bool = False) -> Value:
        """The value of summed components, given in the order of `components`."""
        return self._answers(tuple(components), sample, parts)

    @cached_property
    def _answers(self) -> "Callable[[tuple[Decimal | int | None, ...], int, bool], Value]":
        # Every batch judges an agent's past windows again, and they seldom change.
        return lru_cache(maxsize=20_000)(self._answer)

    def _answer(self, components: tuple[Decimal | int | None, ...], sample: int, parts: bool) -> Value:
        numbers = [None if number is None else exact(number) for number in components]
        shown = tuple((name, part(numbers)) for name, part in self._parts) if parts else ()
        if sample == 0:
            return Value(None, 0, "no facts in this population", parts=shown)
        numerator, denominator = self._root
        try:
            above = numerator(numbers)
            below = 1 if denominator is None else denominator(numbers)
        except _Nothing as nothing:
            return Value(None, sample, str(nothing), parts=shown)
        if denominator is None:
            return Value(above, sample, self._unknown(numbers) if above is None else None, parts=shown)
        if above is None or below is None:
            return Value(None, sample, self._unknown(numbers), above, below, shown)
        if below == 0:
            return Value(None, sample, f"division by zero: {self._denominator_name} is 0", above, below, shown)
        return Value(_quotient(above, below), sample, None, above, below, shown)

    def merge(self, partials: Sequence[Sequence[Decimal | int | None]]) -> list[Decimal | int | None]:
        """The components of several partials together. Wants at least one."""
        columns = zip(*partials, strict=True)
        return [_MERGE[each.kind](column) for each, column in zip(self.components, columns, strict=True)]

    # Inside

    def _unknown(self, numbers: Parts) -> str:
        unknown = [name for name, part in self._parts if part(numbers) is None]
        return f"{', '.join(unknown) or 'the value'} has no known value"

    @property
    def _denominator_name(self) -> str:
        return text_of(self.fraction[1] or self.value)

    @cached_property
    def _root(self) -> tuple["_Reader", "_Reader | None"]:
        above, below = self.fraction
        return self._reader(above), self._reader(below) if below else None

    @cached_property
    def _parts(self) -> tuple[tuple[str, "_Reader"], ...]:
        aggregates = {node: None for node in self.value.walk() if node.op in ("sum", "count", "avg", "min", "max")}
        return tuple((text_of(node), self._lenient(node)) for node in aggregates)

    def _lenient(self, node: Node) -> "_Reader":
        read = self._reader(node)

        def part(numbers: Parts) -> Exact | None:
            try:
                return read(numbers)
            except _Nothing:
                return None

        return part

    def _place(self, kind: ComponentKind, node: Node) -> int:
        return self.components.index(Component(kind, node.args[0] if node.args else None))

    def _reader(self, node: Node) -> "_Reader":
        """A function of the components that gives the value of `node`; null is None, as in SQL."""
        args = [self._reader(arg) for arg in node.args] if node.op not in ("sum", "count", "avg", "min", "max") else []
        match node.op:
            case "number":
                constant: Exact = node.value.numerator if node.value.denominator == 1 else node.value
                return lambda numbers: constant
            case "flag":
                flag = int(node.value)
                return lambda numbers: flag
            case "null":
                return lambda numbers: None
            case "sum":
                total, known = self._place("sum", node), self._place("count", node)
                return lambda numbers: numbers[total] if numbers[known] else None
            case "avg":
                total, known = self._place("sum", node), self._place("count", node)
                return lambda numbers: _quotient(numbers[total], numbers[known]) if numbers[known] else None
            case "count" | "min" | "max":
                place = self._place(node.op, node)
                return lambda numbers: numbers[place]
            case "/":
                above, below = args
                name = text_of(node.args[1])

                def divide(numbers: Parts) -> Exact | None:
                    top, bottom = above(numbers), below(numbers)
                    if top is None or bottom is None:
                        return None
                    if bottom == 0:
                        raise _Nothing(f"division by zero: {name} is 0")
                    return _quotient(top, bottom)

                return divide
            case "and":
                return lambda numbers: _and(arg(numbers) for arg in args)
            case "or":
                return lambda numbers: _negated(_and(_negated(arg(numbers)) for arg in args))
            case "not":
                return lambda numbers: _negated(args[0](numbers))
            case "is null":
                return lambda numbers: int(args[0](numbers) is None)
            case "in":
                return lambda numbers: _negated(
                    _and(_negated(_compared("=", args[0](numbers), option(numbers))) for option in args[1:])
                )
            case "case":
                pairs = list(zip(args[:-1:2], args[1::2], strict=True))

                def choose(numbers: Parts) -> Exact | None:
                    for when, then in pairs:
                        if when(numbers):
                            return then(numbers)
                    return args[-1](numbers)

                return choose
            case "coalesce":
                return lambda numbers: next((v for arg in args if (v := arg(numbers)) is not None), None)
            case "nullif":

                def nullif(numbers: Parts) -> Exact | None:
                    value = args[0](numbers)
                    return None if value == args[1](numbers) else value

                return nullif
            case "=" | "<>" | "<" | "<=" | ">" | ">=":
                op = node.op
                return lambda numbers: _compared(op, args[0](numbers), args[1](numbers))
            case _:
                work = _ARITHMETIC[node.op]

                def reckon(numbers: Parts) -> Exact | None:
                    values = [arg(numbers) for arg in args]
                    return None if None in values else work(*values)

                return reckon


def _extreme(choose: Callable[..., Any]) -> Callable[[Iterable[Any]], Any]:
    return lambda column: choose((each for each in column if each is not None), default=None)


_MERGE: dict[str, Callable[[Iterable[Any]], Any]] = {
    "sum": sum,
    "count": sum,
    "min": _extreme(min),
    "max": _extreme(max),
}
_Reader = Callable[[Parts], Exact | None]

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "neg": lambda a: -a,
    "abs": abs,
}
_COMPARISON: dict[str, Callable[[Exact, Exact], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _as_fraction(node: Node) -> tuple[Node, Node | None]:
    """Numerator and denominator of the root, constant factors and averages drawn in."""
    if node.op == "avg":
        return Node("sum", node.args, type=node.type), Node("count", node.args, type=node.type)
    if node.op == "neg":
        above, below = _as_fraction(node.args[0])
        return (Node("neg", (above,), type=node.type), below) if below else (node, None)
    if node.op == "*":
        sides = [_as_fraction(arg) for arg in node.args]
        if all(below is None for _, below in sides):
            return node, None
        return _product([above for above, _ in sides]), _product([below for _, below in sides if below])
    if node.op == "/":
        # A fraction below the line stays as it is: turning it over would lose that its own denominator may be 0.
        above, below = _as_fraction(node.args[0])
        return above, _product([below, node.args[1]]) if below else node.args[1]
    return node, None


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


def _quotient(above: Exact | None, below: Exact | None) -> Exact | None:
    """None of what is unknown. `below` is not 0."""
    if above is None or below is None:
        return None
    ratio = Fraction(above, below)
    return ratio.numerator if ratio.denominator == 1 else ratio


def _and(values: Iterable[Exact | None]) -> int | None:
    unknown = False
    for value in values:
        if value is None:
            unknown = True
        elif not value:
            return 0
    return None if unknown else 1


def _negated(value: Exact | None) -> int | None:
    return None if value is None else int(not value)


def _compared(op: str, left: Exact | None, right: Exact | None) -> int | None:
    return None if left is None or right is None else int(_COMPARISON[op](left, right))
