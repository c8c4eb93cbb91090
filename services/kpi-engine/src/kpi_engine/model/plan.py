"""The components that a model sums over facts, and the value computed from them by one exact division at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache

from kpi_engine.model.functions import (
    PARTIALS,
    Evaluator,
    Partial,
    Undefined,
    aggregate,
    aggregates_in,
    compile,
    fraction_of,
    text_of,
    to_sql,
)
from kpi_engine.model.functions.evaluation import ratio
from kpi_engine.model.numbers import Exact, decimal_text, to_exact
from kpi_engine.model.tree import Node, Silence

Totals = Sequence[Exact | None]
"""The components of a plan, in order, over some facts."""


@dataclass(frozen=True)
class Component:
    """One number that is stored per partial: a `kind` of `PARTIALS` over `arg`; without `arg` the count of all facts."""

    kind: str
    arg: Node | None = None

    @property
    def partial(self) -> Partial:
        """How it is computed and merged."""
        return PARTIALS[self.kind]

    @property
    def retractable(self) -> bool:
        """Whether a fact's contribution can be retracted without reading other facts."""
        return self.partial.retractable

    @property
    def contribution_sql(self) -> str:
        """The contribution of one fact `f` that counts."""
        return "1" if self.arg is None else self.partial.contribution_sql(to_sql(self.arg))

    @property
    def name(self) -> str:
        """E.g. `sum(talk_ms)`, `count(*)`."""
        return f"{self.kind}({'*' if self.arg is None else text_of(self.arg)})"


@dataclass(frozen=True)
class Value:
    """A computed value. None comes with a `reason`. `parts`: the aggregates by their text in the model."""

    value: Exact | None
    sample: int
    reason: str | None = None
    numerator: Exact | None = None
    denominator: Exact | None = None
    parts: tuple[tuple[str, Exact | None], ...] = ()

    @cached_property
    def text(self) -> str | None:
        """The value as a decimal text of at most four places; None when there is none."""
        return None if self.value is None else decimal_text(self.value)


@dataclass(frozen=True)
class Plan:
    """`where` and `value` as checked. Facts pass when `where` is true (not null)."""

    where: Node | None
    value: Node

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The components of all aggregates, in a stable order."""
        found: dict[Component, None] = {}
        for node in aggregates_in(self.value):
            found |= dict.fromkeys(components_of(node))
        return tuple(found)

    @property
    def retractable(self) -> bool:
        """Whether all components are retractable."""
        return all(component.retractable for component in self.components)

    @property
    def where_sql(self) -> str:
        """The condition on a fact `f`."""
        return "TRUE" if self.where is None else to_sql(self.where)

    @cached_property
    def conditions(self) -> tuple[Node, ...]:
        """The parts of `where` that must all hold."""

        def split(node: Node) -> list[Node]:
            return [part for arg in node.args for part in split(arg)] if node.op == "and" else [node]

        return tuple(split(self.where)) if self.where else ()

    @property
    def silences(self) -> tuple[Silence, ...]:
        """The ways in which silence is measured."""
        nodes = [*self.value.walk(), *(self.where.walk() if self.where else [])]
        return tuple(dict.fromkeys(node.value for node in nodes if node.op == "silence"))

    @cached_property
    def fraction(self) -> tuple[Node, Node | None]:
        """Numerator and denominator of the root; no denominator when the root is no division."""
        return fraction_of(self.value)

    def compute_value(self, components: Sequence[Decimal | int | None], sample: int, *, parts: bool = False) -> Value:
        """The value of the summed components, which are in the order of `self.components`. `parts`: with the aggregates."""
        return self._cached_compute_value(tuple(components), sample, parts)

    @cached_property
    def _cached_compute_value(self) -> "Callable[[tuple[Decimal | int | None, ...], int, bool], Value]":
        # Every batch evaluates the past windows of its agents again, and these seldom change.
        return lru_cache(maxsize=20_000)(self._compute_value)

    def _compute_value(self, components: tuple[Decimal | int | None, ...], sample: int, parts: bool) -> Value:
        numbers = [None if number is None else to_exact(number) for number in components]
        shown = tuple((name, part(numbers)) for name, part in self._parts) if parts else ()
        if sample == 0:
            return Value(None, 0, "no facts in this population", parts=shown)
        numerator, denominator = self._root
        try:
            above = numerator(numbers)
            below = 1 if denominator is None else denominator(numbers)
        except Undefined as nothing:
            return Value(None, sample, str(nothing), parts=shown)
        if denominator is None:
            return Value(above, sample, self._unknown_reason(numbers) if above is None else None, parts=shown)
        if above is None or below is None:
            return Value(None, sample, self._unknown_reason(numbers), above, below, shown)
        if below == 0:
            return Value(None, sample, f"division by zero: {self._denominator_name} is 0", above, below, shown)
        return Value(ratio(above, below), sample, None, above, below, shown)

    def merge_components(self, partials: Sequence[Sequence[Decimal | int | None]]) -> list[Decimal | int | None]:
        """The merged components of several partials, at least one."""
        columns = zip(*partials, strict=True)
        return [each.partial.merge(column) for each, column in zip(self.components, columns, strict=True)]

    # Inside

    def _unknown_reason(self, numbers: Totals) -> str:
        unknown = [name for name, part in self._parts if part(numbers) is None]
        return f"{', '.join(unknown) or 'the value'} has no known value"

    @property
    def _denominator_name(self) -> str:
        return text_of(self.fraction[1] or self.value)

    @cached_property
    def _root(self) -> tuple[Evaluator, Evaluator | None]:
        above, below = self.fraction
        return compile(above, self._total), compile(below, self._total) if below else None

    @cached_property
    def _parts(self) -> tuple[tuple[str, Evaluator], ...]:
        return tuple((text_of(node), self._compile_lenient(node)) for node in dict.fromkeys(aggregates_in(self.value)))

    def _compile_lenient(self, node: Node) -> Evaluator:
        read = compile(node, self._total)

        def part(numbers: Totals) -> Exact | None:
            try:
                return read(numbers)
            except Undefined:
                return None

        return part

    def _total(self, node: Node) -> Evaluator | None:
        """The evaluator of an aggregate from its components; None for anything else."""
        entry = aggregate(node.op)
        return entry.finish(*map(self.components.index, components_of(node))) if entry else None


def components_of(node: Node) -> list[Component]:
    """The components of an aggregate, in the order of its `partials`. Raises KeyError for another node."""
    entry = aggregate(node.op)
    if entry is None:
        raise KeyError(node.op)
    return [Component(kind, node.args[0] if node.args else None) for kind in entry.partials]
