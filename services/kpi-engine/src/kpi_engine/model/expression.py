"""Expressions of KPI models: parsed by sqlglot, checked against the columns, stored as a small tree of our own.

No text of a tenant reaches the database: SQL is rendered from this tree.
"""

import re
from fractions import Fraction
from typing import Any, cast

import sqlglot
from servicekit.json_types import is_array
from sqlglot import exp
from sqlglot.errors import SqlglotError

from kpi_engine.model import functions
from kpi_engine.model.functions import Aggregate, Operation, Scope, Syntax
from kpi_engine.model.problem import ExpressionProblem, nearest
from kpi_engine.model.tokens import scan
from kpi_engine.model.tree import FLAG, NULL, UNKNOWN, Node, Type, Unit

__all__ = ["ExpressionProblem", "Scope", "parse"]

MAX_DEPTH = 60
MAX_NODES = 2000
"""Operations of an expression; a part that is computed twice counts twice."""
MAX_AGGREGATES = 50


def parse(text: str, scope: Scope) -> tuple[Node, list[ExpressionProblem]]:
    """Parses and checks an expression. Returns the tree and the problems; the tree is valid only without problems."""
    clean, found = scan(text, scope.columns)
    if found:
        return Node("null"), found
    try:
        return _checked(clean, text, scope)
    except SqlglotError as error:
        return Node("null"), [_syntax_problem(text, error)]
    except RecursionError:
        return Node("null"), [ExpressionProblem(0, "The expression is nested too deeply.", "Split it.")]


def _checked(clean: str, text: str, scope: Scope) -> tuple[Node, list[ExpressionProblem]]:
    trees = sqlglot.parse(clean, read="postgres")
    if len(trees) != 1 or trees[0] is None:
        return Node("null"), [ExpressionProblem(0, "One expression is wanted.", "E.g. `avg(talk_ms)`.")]
    checker = _Checker(scope, text, trees[0])
    tree = checker.check(trees[0])
    if not checker.problems and len(functions.aggregates_in(tree)) > MAX_AGGREGATES:
        checker.add_problem(0, f"There are more than {MAX_AGGREGATES} aggregates.", "Split it into several KPIs.")
    return tree, sorted(checker.problems, key=lambda problem: problem.at)


def _syntax_problem(text: str, error: SqlglotError) -> ExpressionProblem:
    details = getattr(error, "errors", None)
    if not details:
        return ExpressionProblem(0, "The expression cannot be read.", "Look for a quote that is not closed.")
    found = details[0]
    lines = text.splitlines(keepends=True)[: max((found.get("line") or 1) - 1, 0)]
    column = max((found.get("col") or 1) - len(found.get("highlight") or ""), 0)
    at = min(sum(map(len, lines)) + column, max(len(text) - 1, 0))
    highlight = found.get("highlight")
    near = f" near `{highlight}`" if highlight else ""
    return ExpressionProblem(at, f"The expression cannot be read{near}.", "Something is missing or too much there.")


# The arguments of sqlglot's nodes that are no entries of the table; any other argument (of a query, for instance) is refused.
_LEAF_ARGS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Paren: frozenset({"this"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Boolean: frozenset({"this"}),
    exp.Column: frozenset({"this", "table"}),
}


class _Checker:
    """Converts sqlglot's tree into ours and collects every problem."""

    def __init__(self, scope: Scope, text: str, tree: Any) -> None:
        self.scope = scope
        self.text = text.lower()
        self.starts = _find_start_offsets(tree)
        self.sizes: dict[int, tuple[int, Node]] = {}  # by id(); holding the node keeps its id from reuse
        self.problems: list[ExpressionProblem] = []
        self.current_aggregate: str | None = None  # the name of the one around the node
        self.depth = 0

    def add_problem(self, at: int, problem: str, cure: str = "") -> Node:
        """Adds a problem at an offset in the text. Returns a node of unknown type, which fits anywhere."""
        self.problems.append(ExpressionProblem(at, problem, cure))
        return Node("null", type=UNKNOWN, at=at)

    def check(self, tree: Any) -> Node:
        """Converts a tree of sqlglot's."""
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                return self.add_problem(self.start(tree), "The expression is nested too deeply.", "Split it.")
            checked = self._check(tree)
            if self.size(checked) > MAX_NODES:
                cure = "Split it; `between` and `case … when` compute what they compare once for each comparison."
                return self.add_problem(checked.at, f"The expression comes to more than {MAX_NODES} operations.", cure)
            return checked
        finally:
            self.depth -= 1

    def start(self, tree: Any) -> int:
        """The offset of a tree's leftmost part in the text."""
        return self.starts.get(id(tree), 0)

    def size(self, node: Node) -> int:
        """The number of operations of a tree; a part that occurs twice counts twice."""
        if id(node) not in self.sizes:
            self.sizes[id(node)] = (1 + sum(map(self.size, node.args)), node)
        return self.sizes[id(node)][0]

    def _check(self, tree: Any) -> Node:
        if tree is None:
            return self.add_problem(0, "Something is missing between the parentheses.")
        at = self.start(tree)
        kind = cast(type[Any], type(tree))
        entry = functions.syntax_of(tree)
        allowed = _LEAF_ARGS.get(kind, frozenset()) if entry is None else {*entry.operands, *entry.ignored}
        if any(value for name, value in tree.args.items() if name not in allowed):
            return self.add_refusal(tree, at)
        if entry is not None:
            return self.entry(entry, tree, at)
        if kind is exp.Paren:
            return self.check(tree.this)
        if kind is exp.Literal:
            return self.literal(tree, at)
        if kind is exp.Boolean:
            return Node("flag", value=bool(tree.this), type=FLAG, at=at)
        if kind is exp.Null:
            return Node("null", type=NULL, at=at)
        if kind is exp.Column:
            return self.column(tree, at)
        return self.add_refusal(tree, at)

    def entry(self, entry: Syntax, tree: Any, at: int) -> Node:
        """Converts what the table has an entry for."""
        if entry.read is not None:
            return entry.read(self, tree, at)
        assert isinstance(entry, Operation)
        arguments = [tree.args.get(name) for name in entry.operands]
        operands = [each for one in arguments if one is not None for each in (one if is_array(one) else [one])]
        return entry.node([self.check(each) for each in operands], at, self.add_problem)

    def add_refusal(self, tree: Any, at: int) -> Node:
        """Adds the problem for something that expressions may not use."""
        if any(isinstance(below, exp.Query) for below in tree.walk()):
            return self.add_problem(at, "Sub-queries are not allowed.")
        if isinstance(tree, exp.Func) and not isinstance(functions.syntax_of(tree), Aggregate):
            name = str(tree.this) if type(tree) is exp.Anonymous else tree.sql_name()
            return self.add_problem(
                at, f"The function `{name.lower()}` is not allowed.", nearest(name, functions.function_names())
            )
        cure = f"There are columns, numbers, texts, operators, `case`, and {', '.join(functions.function_names())}."
        return self.add_problem(
            at, f"What begins with `{self.text[at : at + 40]}` is not allowed in a KPI model.", cure
        )

    # Names and literals

    def literal(self, tree: Any, at: int) -> Node:
        """Converts a text or a number of up to 18 digits and 9 decimals."""
        if tree.is_string:
            return Node("text", value=tree.this, type=Type("text"), at=at)
        if not re.fullmatch(r"\d{1,18}(\.\d{1,9})?|\.\d{1,9}", tree.this):
            return self.add_problem(
                at, f"`{tree.this}` is not a number that can be used.", "Up to 18 digits and 9 decimals."
            )
        return Node("number", value=Fraction(tree.this), type=Type("number", None), at=at)

    def column(self, tree: Any, at: int) -> Node:
        """Converts a column of the source or an attribute."""
        parts = [part.name for part in tree.parts]
        if len(parts) == 2 and parts[0].lower() == "attributes":
            if not self.scope.attributes:
                return self.add_problem(at, "Facts of this source have no attributes.", self._columns_cure(parts[1]))
            self.only_inside("attributes." + parts[1], at)
            return Node("attribute", value=parts[1], type=Type("text"), at=at)
        name = ".".join(parts)
        column = self.scope.columns.get(name.lower()) if len(parts) == 1 else None
        if column is None:
            return self.add_problem(at, f"There is no column `{name}`.", self._columns_cure(name))
        self.only_inside(column.name, at)
        unit: Unit = ((column.unit, 1),) if column.unit else ()
        return Node("column", value=column.name, type=Type(column.kind, unit), at=at)

    def _columns_cure(self, name: str) -> str:
        return nearest(name, list(self.scope.columns))

    def only_inside(self, name: str, at: int) -> None:
        """Adds a problem for a column outside an aggregate, where columns must be inside one."""
        if self.scope.aggregates and self.current_aggregate is None:
            self.add_problem(
                at, f"`{name}` stands outside of an aggregate.", f"Write `sum({name})`, or another aggregate."
            )


def _find_start_offsets(tree: Any) -> dict[int, int]:
    """The offset of each node's leftmost part, by id() of the node."""
    found: dict[int, int] = {}
    for node in reversed(list(tree.walk(bfs=False))):  # each after all that is below it
        own = node.meta.get("start") if node.meta else None
        places = [found[id(below)] for below in node.iter_expressions() if id(below) in found]
        places += [] if own is None else [own]
        if places:
            found[id(node)] = min(places)
    return found
