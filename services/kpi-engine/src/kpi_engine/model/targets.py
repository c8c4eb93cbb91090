"""Targets: edges of bands for some people; the most specific target applies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import Any, Protocol

from kpi_engine.model.columns import PERSON_COLUMNS
from kpi_engine.model.expression import parse
from kpi_engine.model.functions import Evaluator, Operator, Scope, comparison, compile, evaluate, operation, text_of
from kpi_engine.model.problem import ExpressionProblem
from kpi_engine.model.tree import Node


@dataclass(frozen=True)
class Band:
    """A band from `start` (None: no lower end) up to, not including, the next band's. `rank` 0 is the best."""

    name: str
    start: Decimal | None
    rank: int
    title: Mapping[str, str] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Target:
    """Edges for the people for whom `selector` holds. `when` is its text."""

    index: int
    when: str
    selector: Node
    priority: int
    edges: tuple[Band, ...]

    @property
    def specificity(self) -> tuple[int, int]:
        """The number of conditions, then the priority."""
        return sum(comparison(node.op) for node in self.selector.walk()), self.priority

    def fits(self, person: "PersonAttributes") -> bool:
        """Whether the selector holds for the person on the day; unknown counts as no."""
        return self._holds(person) == 1

    @cached_property
    def _holds(self) -> Evaluator:
        return compile(self.selector, _person_leaf)

    def uses_column(self, column: str) -> bool:
        """Whether the selector uses the column."""
        return any(node.op == "column" and node.value == column for node in self.selector.walk())


class PersonAttributes(Protocol):
    """The attributes of a person on a day that selectors use."""

    @property
    def tenure_days(self) -> int | None:
        """Whole days since the person was hired; None when that is not known."""
        ...

    @property
    def skills(self) -> frozenset[str]:
        """The person's skills, as the directory names them."""
        ...

    @property
    def org_units(self) -> frozenset[str]:
        """Slugs of the person's org units and of all units above them."""
        ...

    @property
    def roles(self) -> frozenset[str]:
        """The person's roles."""
        ...

    @property
    def employment(self) -> str | None:
        """The kind of employment; None when it is not known."""
        ...


@dataclass(frozen=True)
class PersonOnDay:
    """A person's attributes on a day, given in full."""

    hire_date: date | None = None
    skills: frozenset[str] = frozenset()
    org_units: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    employment: str | None = None
    day: date = date.min

    @property
    def tenure_days(self) -> int | None:
        """Whole days since the person was hired; None when that is not known."""
        return None if self.hire_date is None else (self.day - self.hire_date).days


def parse_selector(text: str) -> tuple[Node, list[ExpressionProblem]]:
    """Parses and checks a condition on people, which compares columns of `PERSON_COLUMNS` with values. Returns the tree and
    the problems."""
    node, problems = parse(text, Scope(PERSON_COLUMNS))
    if not problems and node.type.kind != "flag":
        problems = [ExpressionProblem(0, f"`when` wants a condition, this is a {node.type.kind}.")]
    if not problems:
        problems = [
            ExpressionProblem(below.at, f"`{text_of(below)}` cannot be asked of a person.", "Compare with a value.")
            for below in node.walk()
            if not _is_allowed_in_selector(below)
        ][:1]
    return node, problems


def select_target(targets: Iterable[Target], person: PersonAttributes) -> Target | None:
    """The most specific target that fits the person; None: the model's own edges apply."""
    fitting = [target for target in targets if target.fits(person)]
    return max(fitting, key=lambda target: target.specificity, default=None)


def find_ties(targets: list[Target]) -> list[tuple[Target, Target]]:
    """Pairs of equally specific targets that one person may fit both."""
    return [
        (first, second)
        for first, second in combinations(targets, 2)
        if first.specificity == second.specificity and not _are_exclusive(first.selector, second.selector)
    ]


def _is_allowed_in_selector(node: Node) -> bool:
    entry = operation(node.op)
    if comparison(node.op):
        return node.args[0].op == "column" and all(map(_is_value, node.args[1:]))
    return node.op == "column" or _is_value(node) or (isinstance(entry, Operator) and entry.group == "logic")


def _is_value(node: Node) -> bool:
    return node.op in ("number", "text") or (node.op == "neg" and _is_value(node.args[0]))


def _value(node: Node) -> Any:
    return evaluate(node, None, lambda _: None)


def _person_leaf(node: Node) -> Evaluator | None:
    """Evaluators of columns and of comparisons with multi-valued columns: `=` and `in` mean "has it", `<>` "has it not"."""
    if node.op == "column":
        name = node.value
        return lambda person: getattr(person, name)
    column = node.args[0] if comparison(node.op) else None
    if column is None or not PERSON_COLUMNS[column.value].multi_valued:
        return None
    attribute, options, negated = f"{column.value}s", frozenset(map(_value, node.args[1:])), node.op == "<>"
    if node.op == "is null":
        return lambda person: int(not getattr(person, attribute))
    return lambda person: int(options.isdisjoint(getattr(person, attribute)) == negated)


def _are_exclusive(first: Node, second: Node) -> bool:
    """Whether no person can fit both: different employment, or disjoint ranges of tenure."""
    both = [*_conjuncts(first), *_conjuncts(second)]
    employments = [{_value(v) for v in part.args[1:]} for part in both if _is_comparison(part, "employment", "=", "in")]
    if len(employments) > 1 and not employments[0].intersection(*employments[1:]):
        return True
    # Tenure is counted in whole days.
    low, high = Fraction(-(10**9)), Fraction(10**9)
    for part in both:
        if _is_comparison(part, "tenure_days", "<", "<=", "=", ">=", ">"):
            bound = _value(part.args[1])
            if part.op in (">", ">=", "="):
                low = max(low, bound if part.op != ">" else bound // 1 + 1)
            if part.op in ("<", "<=", "="):
                high = min(high, bound if part.op != "<" else -((-bound) // 1) - 1)
    return low > high


def _conjuncts(node: Node) -> list[Node]:
    return [part for arg in node.args for part in _conjuncts(arg)] if node.op == "and" else [node]


def _is_comparison(node: Node, column: str, *ops: str) -> bool:
    return node.op in ops and node.args[0].value == column
