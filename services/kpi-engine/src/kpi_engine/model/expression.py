"""Expressions of KPI models: parsed by sqlglot, checked against the columns, kept as a small tree of our own.

Nothing of what a tenant writes reaches the database as text: SQL is written from this tree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from kpi_engine.model.columns import Column
from kpi_engine.model.tokens import ExpressionProblem, bounded, nearest
from kpi_engine.model.tree import AGGREGATES, FUNCTIONS, Node, Silence, Type, Unit, text_of
from kpi_engine.model.units import sign, times, unit_words

DEEPEST = 60
MOST_NODES = 2000
"""Operations of an expression with each part counted as often as it is computed."""
MOST_AGGREGATES = 50
_SHOWN = 80


@dataclass(frozen=True)
class Scope:
    """What an expression may use. `aggregates`: columns may stand only inside one."""

    columns: Mapping[str, Column]
    aggregates: bool = False
    attributes: bool = False
    gaps: bool = False


def parse(text: str, scope: Scope) -> tuple[Node, list[ExpressionProblem]]:
    """The checked tree, and what is wrong with it; the tree is only good for use when nothing is."""
    clean, found = bounded(text, scope.columns)
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
    if not checker.problems and sum(node.op in AGGREGATES for node in tree.walk()) > MOST_AGGREGATES:
        checker.wrong(0, f"There are more than {MOST_AGGREGATES} aggregates.", "Split it into several KPIs.")
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


_BINARY: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=",
    exp.GT: ">", exp.GTE: ">=", exp.And: "and", exp.Or: "or",
}  # fmt: skip
_AGGREGATE: dict[type[exp.Expr], str] = {
    exp.Sum: "sum", exp.Count: "count", exp.Avg: "avg", exp.Min: "min", exp.Max: "max",
}  # fmt: skip
# What sqlglot may hang on a node; anything else (`symmetric`, `filter`, a query) is not ours.
_USUAL_ARGS = frozenset({"this", "expression", "expressions", "is_string"})
_ARGS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Is: frozenset({"this", "expression", "negate"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Div: frozenset({"this", "expression", "typed", "safe"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.Column: frozenset({"this", "table"}),
}
_UNKNOWN = Type("unknown")
_FLAG = Type("flag")


class _Checker:
    """Turns sqlglot's tree into ours and collects every problem on the way."""

    def __init__(self, scope: Scope, text: str, tree: Any) -> None:
        self.scope = scope
        self.text = text.lower()
        self.starts = _starts(tree)
        self.sizes: dict[int, tuple[int, Node]] = {}  # by identity; the node is kept so that it stays its own
        self.problems: list[ExpressionProblem] = []
        self.inside: str | None = None  # the aggregate we are in
        self.depth = 0

    def wrong(self, at: int, problem: str, cure: str = "") -> Node:
        self.problems.append(ExpressionProblem(at, problem, cure))
        return Node("null", type=_UNKNOWN, at=at)

    def check(self, tree: Any) -> Node:
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                return self.wrong(self.start(tree), "The expression is nested too deeply.", "Split it.")
            checked = self._check(tree)
            if self.size(checked) > MOST_NODES:
                cure = "Split it; `between` and `case … when` compute what they compare once for each comparison."
                return self.wrong(checked.at, f"The expression comes to more than {MOST_NODES} operations.", cure)
            return checked
        finally:
            self.depth -= 1

    def start(self, tree: Any) -> int:
        """Where the leftmost part of a tree stands in its text."""
        return self.starts.get(id(tree), 0)

    def size(self, node: Node) -> int:
        """Operations in a tree, parts that stand in it twice counted twice."""
        if id(node) not in self.sizes:
            self.sizes[id(node)] = (1 + sum(map(self.size, node.args)), node)
        return self.sizes[id(node)][0]

    def _check(self, tree: Any) -> Node:
        if tree is None:
            return self.wrong(0, "Something is missing between the parentheses.")
        at = self.start(tree)
        kind = type(tree)
        if any(value for name, value in tree.args.items() if name not in _ARGS.get(kind, _USUAL_ARGS)):
            return self.refused(tree, at)
        if kind is exp.Paren:
            return self.check(tree.this)
        if kind is exp.Literal:
            return self.literal(tree, at)
        if kind is exp.Boolean:
            return Node("flag", value=bool(tree.this), type=_FLAG, at=at)
        if kind is exp.Null:
            return Node("null", type=Type("null", None), at=at)
        if kind is exp.Column:
            return self.column(tree, at)
        if kind in _BINARY:
            return self.binary(_BINARY[kind], [tree.this, tree.expression], at)
        if kind in _AGGREGATE and not (kind in (exp.Min, exp.Max) and tree.expressions):
            return self.aggregate(_AGGREGATE[kind], tree.this, at)
        if kind is exp.Neg:
            return self.numeric("neg", [self.check(tree.this)], at)
        if kind is exp.Abs:
            return self.numeric("abs", [self.check(tree.this)], at)
        if kind is exp.Not:
            return self.logical("not", [self.check(tree.this)], at)
        if kind is exp.Is:
            return self.is_null(tree, at)
        if kind is exp.In:
            return self.membership(tree, at)
        if kind is exp.Between:
            subject = self.check(tree.this)
            low, high = self.check(tree.args["low"]), self.check(tree.args["high"])
            pair = (self.compare(">=", subject, low, at), self.compare("<=", subject, high, at))
            return Node("and", pair, type=_FLAG, at=at)
        if kind is exp.Case:
            return self.case(tree, at)
        if kind is exp.Coalesce:
            args = [self.check(arg) for arg in (tree.this, *tree.expressions)]
            return Node("coalesce", tuple(args), type=self.common(args, "coalesce", at), at=at)
        if kind is exp.Nullif:
            args = [self.check(tree.this), self.check(tree.expression)]
            self.compare("=", args[0], args[1], at)
            return Node("nullif", tuple(args), type=args[0].type, at=at)
        if kind is exp.Anonymous and str(tree.this).lower() == "silence":
            return self.silence(tree, at)
        return self.refused(tree, at)

    def refused(self, tree: Any, at: int) -> Node:
        if any(isinstance(below, exp.Query) for below in tree.walk()):
            return self.wrong(at, "Sub-queries are not allowed.")
        if isinstance(tree, exp.Func) and type(tree) not in _AGGREGATE:
            name = str(tree.this) if type(tree) is exp.Anonymous else tree.sql_name()
            return self.wrong(at, f"The function `{name.lower()}` is not allowed.", nearest(name, FUNCTIONS))
        cure = f"There are columns, numbers, texts, operators, `case`, and {', '.join(FUNCTIONS)}."
        return self.wrong(at, f"What begins with `{self.text[at : at + 40]}` is not allowed in a KPI model.", cure)

    # Names and literals

    def literal(self, tree: Any, at: int) -> Node:
        if tree.is_string:
            return Node("text", value=tree.this, type=Type("text"), at=at)
        if not re.fullmatch(r"\d{1,18}(\.\d{1,9})?|\.\d{1,9}", tree.this):
            return self.wrong(at, f"`{tree.this}` is not a number that can be used.", "Up to 18 digits and 9 decimals.")
        return Node("number", value=Fraction(tree.this), type=Type("number", None), at=at)

    def column(self, tree: Any, at: int) -> Node:
        parts = [part.name for part in tree.parts]
        if len(parts) == 2 and parts[0].lower() == "attributes":
            if not self.scope.attributes:
                return self.wrong(at, "Facts of this source have no attributes.", self._columns_cure(parts[1]))
            self._only_inside("attributes." + parts[1], at)
            return Node("attribute", value=parts[1], type=Type("text"), at=at)
        name = ".".join(parts)
        column = self.scope.columns.get(name.lower()) if len(parts) == 1 else None
        if column is None:
            return self.wrong(at, f"There is no column `{name}`.", self._columns_cure(name))
        self._only_inside(column.name, at)
        unit: Unit = ((column.unit, 1),) if column.unit else ()
        return Node("column", value=column.name, type=Type(column.kind, unit), at=at)

    def _columns_cure(self, name: str) -> str:
        return nearest(name, list(self.scope.columns))

    def _only_inside(self, name: str, at: int) -> None:
        if self.scope.aggregates and self.inside is None:
            self.wrong(at, f"`{name}` stands outside of an aggregate.", f"Write `sum({name})`, or another aggregate.")

    def silence(self, tree: Any, at: int) -> Node:
        if not self.scope.gaps:
            return self.wrong(at, "Facts of this source know no silence.")
        self._only_inside("silence()", at)
        given: dict[str, Any] = {}
        for argument in tree.expressions:
            where = self.start(argument)
            if type(argument) is not exp.Kwarg:
                return self.wrong(where, "Arguments of `silence` are named.", "E.g. `silence(min_gap_ms => 3000)`.")
            name, value = argument.this.name.lower(), argument.expression
            where = max(self.text.rfind(name, 0, where), 0)  # sqlglot knows the place of the value only
            if name not in ("min_gap_ms", "hold") or name in given:
                problem = f"`{name}` is given twice." if name in given else f"`silence` has no argument `{name}`."
                return self.wrong(where, problem, nearest(name, ("min_gap_ms", "hold")))
            if name == "hold" and type(value) is exp.Boolean:
                given[name] = bool(value.this)
            elif name == "min_gap_ms" and type(value) is exp.Literal and re.fullmatch(r"\d{1,9}", value.this):
                given[name] = int(value.this)
            else:
                cure = "true or false" if name == "hold" else "whole milliseconds"
                return self.wrong(where, f"`{name}` has a value that cannot be used.", f"It wants {cure}.")
        return Node("silence", value=Silence(**given), type=Type("number", (("ms", 1),)), at=at)

    # Operators

    def binary(self, op: str, trees: list[Any], at: int) -> Node:
        left, right = (self.check(tree) for tree in trees)
        if op in ("and", "or"):
            return self.logical(op, [left, right], at)
        if op in "+-*/":
            return self.numeric(op, [left, right], at)
        return self.compare(op, left, right, at)

    def logical(self, op: str, args: list[Node], at: int) -> Node:
        for arg in args:
            if arg.type.kind not in ("flag", "unknown"):
                self.wrong(arg.at, f"`{op}` wants conditions, `{_words(arg)}` is a {arg.type.kind}.")
        return Node(op, tuple(args), type=_FLAG, at=at)

    def numeric(self, op: str, args: list[Node], at: int) -> Node:
        for arg in args:
            if arg.type.kind not in ("number", "unknown"):
                self.wrong(arg.at, f"`{sign(op)}` wants numbers, `{_words(arg)}` is a {arg.type.kind}.")
        if any(arg.type.kind != "number" for arg in args):
            return Node(op, tuple(args), type=_UNKNOWN, at=at)
        quotient = op == "/" or any(arg.type.quotient for arg in args)
        if op in ("*", "/"):
            left, right = (arg.type.unit for arg in args)
            unit = None if left is None and right is None else times(left or (), right or (), 1 if op == "*" else -1)
        else:
            unit = self.same_unit(args, sign(op), at)
        return Node(op, tuple(args), type=Type("number", unit, quotient), at=at)

    def same_unit(self, args: list[Node], what: str, at: int) -> Unit | None:
        known = [arg for arg in args if arg.type.unit is not None]
        for arg in known[1:]:
            if arg.type.unit != known[0].type.unit:
                first, other = unit_words(known[0].type.unit), unit_words(arg.type.unit)
                self.wrong(
                    arg.at, f"`{what}` mixes units: `{_words(known[0])}` is in {first}, `{_words(arg)}` in {other}."
                )
        return known[0].type.unit if known else None

    def compare(self, op: str, left: Node, right: Node, at: int) -> Node:
        if left.type.kind == "date" and right.op == "text":
            right = self.as_date(right)
        elif right.type.kind == "date" and left.op == "text":
            left = self.as_date(left)
        kinds = {left.type.kind, right.type.kind} - {"unknown"}
        if "null" in kinds:
            self.wrong(at, f"`{op} null` is never true.", "Write `is null` or `is not null`.")
        elif len(kinds) > 1:
            self.wrong(
                at,
                f"`{_words(left)}` is a {left.type.kind}, `{_words(right)}` a {right.type.kind}: they cannot be compared.",
            )
        elif op not in ("=", "<>") and kinds & {"text", "flag"}:
            self.wrong(at, f"A {kinds.pop()} has no order: `{op}` cannot be used.", "Use `=`, `<>` or `in`.")
        elif kinds == {"number"}:
            self.same_unit([left, right], op, at)
        return Node(op, (left, right), type=_FLAG, at=at)

    def as_date(self, node: Node) -> Node:
        try:
            return Node("date", value=date.fromisoformat(node.value), type=Type("date"), at=node.at)
        except ValueError:
            return self.wrong(node.at, f"`{node.value}` is not a date.", "Write it like `'2026-03-02'`.")

    def is_null(self, tree: Any, at: int) -> Node:
        if type(tree.expression) is not exp.Null:
            return self.wrong(at, "`is` is only for `is null` and `is not null`.", "Use `=`, or the flag itself.")
        null = Node("is null", (self.check(tree.this),), type=_FLAG, at=at)
        return Node("not", (null,), type=_FLAG, at=at) if tree.args.get("negate") else null

    def membership(self, tree: Any, at: int) -> Node:
        if not tree.expressions:
            return self.wrong(at, "`in` wants a list of values.", "E.g. `channel in ('voice', 'chat')`.")
        subject = self.check(tree.this)
        options = []
        for option in (self.check(option) for option in tree.expressions):
            compared = self.compare("=", subject, option, option.at).args[1]
            if compared.op not in ("text", "number", "date", "flag", "null"):
                self.wrong(option.at, "`in` wants values, not expressions.")
            options.append(compared)
        return Node("in", (subject, *options), type=_FLAG, at=at)

    def case(self, tree: Any, at: int) -> Node:
        args: list[Node] = []
        subject = None if tree.this is None else self.check(tree.this)
        for when in tree.args["ifs"]:
            if subject is not None:
                condition = self.compare("=", subject, self.check(when.this), at)
            else:
                condition = self.check(when.this)
                self.logical("when", [condition], at)
            args += [condition, self.check(when.args["true"])]
        otherwise = tree.args.get("default")
        args.append(self.check(otherwise) if otherwise is not None else Node("null", type=Type("null", None)))
        return Node("case", tuple(args), type=self.common([*args[1::2], args[-1]], "case", at), at=at)

    def common(self, args: list[Node], what: str, at: int) -> Type:
        known = [arg for arg in args if arg.type.kind not in ("null", "unknown")]
        if not known:
            return _UNKNOWN if args and any(arg.type.kind == "unknown" for arg in args) else Type("null", None)
        kinds = {arg.type.kind for arg in known}
        if len(kinds) > 1:
            self.wrong(at, f"`{what}` mixes {' and '.join(sorted(kinds))}.")
            return _UNKNOWN
        unit = self.same_unit(known, what, at) if kinds == {"number"} else ()
        return Type(known[0].type.kind, unit, any(arg.type.quotient for arg in known))

    # Aggregates

    def aggregate(self, op: str, inner: Any, at: int) -> Node:
        if not self.scope.aggregates:
            return self.wrong(at, f"`{op}` is an aggregate; here every fact is judged by itself.", "Name columns.")
        if self.inside:
            return self.wrong(at, f"`{op}` stands inside of `{self.inside}`: aggregates do not nest.")
        if op == "count" and type(inner) is exp.Star:
            return Node("count", type=Type("number", ()), at=at)
        self.inside = op
        arg = self.check(inner)
        self.inside = None
        kind, unit = arg.type.kind, arg.type.unit or ()
        if op == "count":
            return Node("count", (arg,), type=Type("number", ()), at=at)
        if kind == "flag" and op in ("sum", "avg"):
            arg = Node("0 or 1", (arg,), type=Type("number", ()), at=arg.at)
        elif kind not in ("number", "unknown"):
            return self.wrong(at, f"`{op}` wants a number, `{_words(arg)}` is a {kind}.")
        if arg.type.quotient:
            self.wrong(
                arg.at, f"A division stands inside of `{op}`.", "Divide sums: a ratio is computed once, on read."
            )
        return Node(op, (arg,), type=Type("number", unit, op == "avg"), at=at)


def _starts(tree: Any) -> dict[int, int]:
    """By identity of each node: where its leftmost part stands."""
    found: dict[int, int] = {}
    for node in reversed(list(tree.walk(bfs=False))):  # each after all that is below it
        own = node.meta.get("start") if node.meta else None
        places = [found[id(below)] for below in node.iter_expressions() if id(below) in found]
        places += [] if own is None else [own]
        if places:
            found[id(node)] = min(places)
    return found


def _words(node: Node) -> str:
    """The expression as its author knows it, cut short."""
    text = text_of(node)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
