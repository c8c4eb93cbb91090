"""The aggregates of the table. Each is stored as the partials that it names, which can be merged."""

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from kpi_engine.model.functions import fractions, rules
from kpi_engine.model.functions.evaluation import ratio
from kpi_engine.model.functions.operators import TO_NUMBER
from kpi_engine.model.functions.table import Aggregate, Checker, Evaluator, register, syntax_of
from kpi_engine.model.functions.text import call
from kpi_engine.model.numbers import Exact
from kpi_engine.model.tree import Node

Totals = Sequence[Exact | None]
"""The components of a plan."""


def _read(checker: Checker, tree: Any, at: int) -> Node:
    """Reads one argument without an aggregate, or `*` where none is needed. A condition counts as 0 or 1."""
    entry = syntax_of(tree)
    assert isinstance(entry, Aggregate)
    name = entry.name
    if not checker.scope.aggregates:
        return checker.add_problem(
            at, f"`{name}` is an aggregate; here every fact is judged by itself.", "Name columns."
        )
    if checker.current_aggregate:
        return checker.add_problem(
            at, f"`{name}` stands inside of `{checker.current_aggregate}`: aggregates do not nest."
        )
    if type(tree.this) is exp.Star and entry.arity[0] == 0:
        return entry.node([], at, checker.add_problem)
    checker.current_aggregate = name
    arg = checker.check(tree.this)
    checker.current_aggregate = None
    if arg.type.kind == "flag" and entry.of_conditions:
        arg = TO_NUMBER.node([arg], arg.at, checker.add_problem)
    return entry.node([arg], at, checker.add_problem)


def _when_known(total: int, known: int) -> Evaluator:
    def value(totals: Totals) -> Exact | None:
        return totals[total] if totals[known] else None

    return value


def _mean(total: int, known: int) -> Evaluator:
    def value(totals: Totals) -> Exact | None:
        return ratio(totals[total], totals[known]) if totals[known] else None

    return value


def _itself(place: int) -> Evaluator:
    return lambda totals: totals[place]


register(
    Aggregate(
        name="sum",
        description="All values added up; of a condition, how often it holds. Unknown when no value is known.",
        example="sum(talk_ms)",
        parsed_from=exp.Sum,
        operands=("this",),
        read=_read,
        of_conditions=True,
        arity=(1, 1),
        type_rule=rules.aggregated,
        unit_rule=rules.own_unit,
        text=call,
        # With the count of its known values, so that "none known" survives retraction.
        partials=("sum", "count"),
        finish=_when_known,
    )
)
register(
    Aggregate(
        name="count",
        description="How many values are known; `count(*)`: how many facts there are.",
        example="count(*)",
        parsed_from=exp.Count,
        operands=("this",),
        ignored=frozenset({"big_int"}),
        read=_read,
        arity=(0, 1),
        type_rule=rules.plain_number,
        unit_rule=rules.no_unit,
        text=lambda node: call(node) if node.args else "count(*)",
        partials=("count",),
        finish=_itself,
    )
)
register(
    Aggregate(
        name="avg",
        description="The mean of the known values; of a condition, how often it holds of those of which it is known.",
        example="avg(talk_ms)",
        parsed_from=exp.Avg,
        operands=("this",),
        read=_read,
        of_conditions=True,
        arity=(1, 1),
        type_rule=rules.averaged,
        unit_rule=rules.own_unit,
        text=call,
        fraction=fractions.average,
        partials=("sum", "count"),
        finish=_mean,
    )
)
register(
    Aggregate(
        name="min",
        description="The least of the known values.",
        example="min(talk_ms)",
        parsed_from=exp.Min,
        operands=("this",),
        read=_read,
        arity=(1, 1),
        type_rule=rules.aggregated,
        unit_rule=rules.own_unit,
        text=call,
        partials=("min",),
        finish=_itself,
    )
)
register(
    Aggregate(
        name="max",
        description="The greatest of the known values.",
        example="max(talk_ms)",
        parsed_from=exp.Max,
        operands=("this",),
        read=_read,
        arity=(1, 1),
        type_rule=rules.aggregated,
        unit_rule=rules.own_unit,
        text=call,
        partials=("max",),
        finish=_itself,
    )
)
