"""The numbers that aggregates are stored as: they can be updated by retracting and adding facts, and merged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kpi_engine.model.functions.possible import ZERO
from kpi_engine.model.functions.table import Possible


@dataclass(frozen=True)
class Partial:
    """One kind of number. `retractable`: it is a sum, so a fact's contribution can be retracted without reading other facts.

    `contribution_sql`: the contribution of a fact, from its value. `sql`: the aggregate of PostgreSQL over contributions or
    over several numbers; `combined_sql`: of two numbers. `merge`: the same in Python; None is a number without any known
    value. `nothing`: values that do not change the number."""

    kind: str
    retractable: bool
    sql: str
    combined_sql: Callable[[str, str], str]
    merge: Callable[[Iterable[Any]], Any]
    nothing: Possible
    contribution_sql: Callable[[str], str] = lambda value: value

    def total_sql(self, contribution: str, clause: str = "") -> str:
        """Over contributions; `clause` follows the aggregate, a FILTER or OVER. 0 is the sum of none, null the extreme."""
        total = f"{self.sql}({contribution}){clause}"
        return f"coalesce({total}, 0)" if self.retractable else total


def _sum(kind: str, nothing: Possible, contribution_sql: Callable[[str], str] = lambda value: value) -> Partial:
    return Partial(kind, True, "sum", lambda one, other: f"{one} + {other}", sum, nothing, contribution_sql)


def _extreme(kind: str, of_two: str, choose: Callable[..., Any]) -> Partial:
    def merge(numbers: Iterable[Any]) -> Any:
        return choose((each for each in numbers if each is not None), default=None)

    return Partial(kind, False, kind, lambda one, other: f"{of_two}({one}, {other})", merge, frozenset({None}))


PARTIALS: dict[str, Partial] = {
    each.kind: each
    for each in (
        _sum("sum", nothing=frozenset({None, ZERO})),
        _sum("count", nothing=frozenset({None}), contribution_sql=lambda value: f"({value} IS NOT NULL)::int"),
        _extreme("min", "least", min),
        _extreme("max", "greatest", max),
    )
}
