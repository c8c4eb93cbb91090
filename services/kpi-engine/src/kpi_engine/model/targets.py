"""Who is judged by what: selectors over people, the most specific one wins."""

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
    """From `start` (None: no lower end) up to but not including the next band's. `rank` 0 is the best."""

    name: str
    start: Decimal | None
    rank: int
    title: Mapping[str, str] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Target:
    """Edges for the people whom `selector` fits."""

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
        """Whether the selector surely holds for the person on the day."""
        return self._holds(person) == 1

    @cached_property
    def _holds(self) -> Evaluator:
        return compile(self.selector, _of_person)

    def uses_column(self, column: str) -> bool:
        """Whether the selector names the column."""
        return any(node.op == "column" and node.value == column for node in self.selector.walk())


class PersonAttributes(Protocol):
    """What selectors ask of a person on a day. `org_units` are slugs, with all units above the own ones."""

    @property
    def tenure_days(self) -> int | None: ...
    @property
    def skills(self) -> frozenset[str]: ...
    @property
    def org_units(self) -> frozenset[str]: ...
    @property
    def roles(self) -> frozenset[str]: ...
    @property
    def employment(self) -> str | None: ...


@dataclass(frozen=True)
class PersonOnDay:
    """A person on a day, described in full."""

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
    """The checked condition on people, and what is wrong with it: it compares columns of `PERSON` with values."""
    node, problems = parse(text, Scope(PERSON_COLUMNS))
    if not problems and node.type.kind != "flag":
        problems = [ExpressionProblem(0, f"`when` wants a condition, this is a {node.type.kind}.")]
    if not problems:
        problems = [
            ExpressionProblem(below.at, f"`{text_of(below)}` cannot be asked of a person.", "Compare with a value.")
            for below in node.walk()
            if not _askable(below)
        ][:1]
    return node, problems


def select_target(targets: Iterable[Target], person: PersonAttributes) -> Target | None:
    """The most specific target that fits; None: the model's own edges apply."""
    fitting = [target for target in targets if target.fits(person)]
    return max(fitting, key=lambda target: target.specificity, default=None)


def find_ties(targets: list[Target]) -> list[tuple[Target, Target]]:
    """Pairs of which neither wins, and that are not plainly exclusive."""
    return [
        (first, second)
        for first, second in combinations(targets, 2)
        if first.specificity == second.specificity and not _are_exclusive(first.selector, second.selector)
    ]


def _askable(node: Node) -> bool:
    entry = operation(node.op)
    if comparison(node.op):
        return node.args[0].op == "column" and all(map(_is_value, node.args[1:]))
    return node.op == "column" or _is_value(node) or (isinstance(entry, Operator) and entry.group == "logic")


def _is_value(node: Node) -> bool:
    return node.op in ("number", "text") or (node.op == "neg" and _is_value(node.args[0]))


def _value(node: Node) -> Any:
    return evaluate(node, None, lambda _: None)


def _of_person(node: Node) -> Evaluator | None:
    """Columns, and comparisons of what a person has several of: `=` and `in` mean "has it", `<>` "has it not"."""
    if node.op == "column":
        name = node.value
        return lambda person: getattr(person, name)
    column = node.args[0] if comparison(node.op) else None
    if column is None or not PERSON_COLUMNS[column.value].multi_valued:
        return None
    several, wanted, unwanted = f"{column.value}s", frozenset(map(_value, node.args[1:])), node.op == "<>"
    if node.op == "is null":
        return lambda person: int(not getattr(person, several))
    return lambda person: int(wanted.isdisjoint(getattr(person, several)) == unwanted)


def _are_exclusive(first: Node, second: Node) -> bool:
    """Whether one person can surely not fit both: other employment, or no common length of service."""
    both = [*_conjuncts(first), *_conjuncts(second)]
    employments = [{_value(v) for v in part.args[1:]} for part in both if _is_comparison(part, "employment", "=", "in")]
    if len(employments) > 1 and not set.intersection(*employments):
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
