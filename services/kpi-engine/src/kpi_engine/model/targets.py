"""Who is judged by what: selectors over people, the most specific one wins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any, Protocol

from kpi_engine.model.columns import PERSON
from kpi_engine.model.expression import ExpressionProblem, Scope, parse
from kpi_engine.model.tree import Node, text_of


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
        return sum(node.op in _CONDITIONS for node in self.selector.walk()), self.priority

    def asks(self, column: str) -> bool:
        return any(node.op == "column" and node.value == column for node in self.selector.walk())


class Asked(Protocol):
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
        return None if self.hire_date is None else (self.day - self.hire_date).days


def parse_selector(text: str) -> tuple[Node, list[ExpressionProblem]]:
    node, problems = parse(text, Scope(PERSON))
    if not problems and node.type.kind != "flag":
        problems = [ExpressionProblem(0, f"`when` wants a condition, this is a {node.type.kind}.")]
    if not problems:
        problems = [
            ExpressionProblem(below.at, f"`{text_of(below)}` cannot be asked of a person.", "Compare with a value.")
            for below in node.walk()
            if below.op not in _ALLOWED or (below.op in _CONDITIONS and not _asks_by_value(below))
        ][:1]
    return node, problems


def choose(targets: Iterable[Target], person: Asked) -> Target | None:
    """The most specific target that fits; None: the model's own edges apply."""
    fitting = [target for target in targets if fits(target.selector, person)]
    return max(fitting, key=lambda target: target.specificity, default=None)


def fits(selector: Node, person: Asked) -> bool:
    return _holds(selector, person) is True


def ties(targets: list[Target]) -> list[tuple[Target, Target]]:
    """Pairs of which neither wins, and that are not plainly exclusive."""
    return [
        (first, second)
        for first, second in combinations(targets, 2)
        if first.specificity == second.specificity and not _exclusive(first.selector, second.selector)
    ]


_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_CONDITIONS = frozenset({*_COMPARISONS, "in", "is null"})
_ALLOWED = frozenset({*_CONDITIONS, "and", "or", "not", "column", "number", "text", "neg"})


def _asks_by_value(node: Node) -> bool:
    column, *values = node.args
    return column.op == "column" and all(value.op in ("number", "text", "neg") for value in values)


def _value(node: Node) -> Any:
    return -node.args[0].value if node.op == "neg" else node.value


def _holds(node: Node, person: Asked) -> bool | None:
    """SQL's logic: None is unknown."""
    match node.op:
        case "and" | "or":
            found = [_holds(arg, person) for arg in node.args]
            decisive = node.op == "or"
            return decisive if decisive in found else None if None in found else not decisive
        case "not":
            inner = _holds(node.args[0], person)
            return None if inner is None else not inner
    name = node.args[0].value
    if PERSON[name].many:
        has = {"skill": person.skills, "org_unit": person.org_units, "role": person.roles}[name]
        match node.op:
            case "is null":
                return not has
            case "<>":
                return _value(node.args[1]) not in has
        return any(_value(option) in has for option in node.args[1:])
    own = person.tenure_days if name == "tenure_days" else person.employment
    if node.op == "is null":
        return own is None
    if own is None:
        return None
    wanted = [_value(option) for option in node.args[1:]]
    match node.op:
        case "in" | "=":
            return own in wanted
        case "<>":
            return own not in wanted
        case "<":
            return own < wanted[0]
        case "<=":
            return own <= wanted[0]
        case ">":
            return own > wanted[0]
    return own >= wanted[0]


def _exclusive(first: Node, second: Node) -> bool:
    """Whether one person can surely not fit both: other employment, or no common length of service."""
    both = [*_conjuncts(first), *_conjuncts(second)]
    employments = [{_value(v) for v in part.args[1:]} for part in both if _is(part, "employment", "=", "in")]
    if len(employments) > 1 and not set.intersection(*employments):
        return True
    # Tenure is counted in whole days.
    low, high = Fraction(-(10**9)), Fraction(10**9)
    for part in both:
        if _is(part, "tenure_days", *_COMPARISONS) and part.op != "<>":
            bound = _value(part.args[1])
            if part.op in (">", ">=", "="):
                low = max(low, bound if part.op != ">" else bound // 1 + 1)
            if part.op in ("<", "<=", "="):
                high = min(high, bound if part.op != "<" else -((-bound) // 1) - 1)
    return low > high


def _conjuncts(node: Node) -> list[Node]:
    return [part for arg in node.args for part in _conjuncts(arg)] if node.op == "and" else [node]


def _is(node: Node, column: str, *ops: str) -> bool:
    return node.op in ops and node.args[0].value == column
