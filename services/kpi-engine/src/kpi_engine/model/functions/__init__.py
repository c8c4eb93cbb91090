"""The table of operators, functions and aggregates of expressions, and what is computed from it.

`table` defines an entry; `operators`, `scalars` and `aggregates` hold the entries. `rules`, `sql`, `text`, `evaluation`,
`possible`, `fractions` and `partials` hold the behaviour that entries refer to, and name no entry.
"""

from kpi_engine.model.functions import aggregates, operators, scalars
from kpi_engine.model.functions.evaluation import Undefined, compile, evaluate
from kpi_engine.model.functions.fractions import fraction_of
from kpi_engine.model.functions.partials import PARTIALS, Partial
from kpi_engine.model.functions.possible import possible_values
from kpi_engine.model.functions.sql import render_literal, to_sql
from kpi_engine.model.functions.table import (
    Aggregate,
    Evaluator,
    Function,
    Operation,
    Operator,
    Possible,
    Scope,
    Shorthand,
    Syntax,
    aggregate,
    comparison,
    entries,
    function_names,
    operation,
    register,
    syntax_of,
)
from kpi_engine.model.functions.text import text_of
from kpi_engine.model.tree import Node

__all__ = [
    "PARTIALS",
    "Aggregate",
    "Evaluator",
    "Function",
    "Operation",
    "Operator",
    "Partial",
    "Possible",
    "Scope",
    "Shorthand",
    "Syntax",
    "Undefined",
    "aggregate",
    "aggregates",
    "aggregates_in",
    "comparison",
    "compile",
    "entries",
    "evaluate",
    "fraction_of",
    "function_names",
    "operation",
    "operators",
    "possible_values",
    "register",
    "render_literal",
    "scalars",
    "syntax_of",
    "text_of",
    "to_sql",
]


def aggregates_in(node: Node) -> list[Node]:
    """The aggregates of an expression, from the left; one that occurs twice comes twice."""
    return [each for each in node.walk() if aggregate(each.op)]
