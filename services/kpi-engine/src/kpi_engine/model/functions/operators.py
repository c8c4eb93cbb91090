"""The operators of the table."""

import operator as python
from typing import Any

from sqlglot import exp

from kpi_engine.model.functions import evaluation, fractions, possible, rules, sql
from kpi_engine.model.functions.table import (
    Checker,
    Compiler,
    FractionRule,
    Operator,
    PossibleRule,
    Shorthand,
    TypeRule,
    UnitRule,
    Writer,
    register,
)
from kpi_engine.model.functions.text import infix, text_of, wrapped
from kpi_engine.model.tree import LITERALS, NULL, Node

# Arithmetic


def _arithmetic(
    symbol: str,
    parsed_from: type[exp.Expr],
    description: str,
    example: str,
    *,
    unit_rule: UnitRule,
    compile: Compiler,
    possible: PossibleRule,
    type_rule: TypeRule = rules.numbers,
    to_sql: Writer | None = None,
    ignored: frozenset[str] = frozenset(),
    fraction: FractionRule | None = None,
) -> Operator:
    """`to_sql`: by default the symbol between the operands."""
    return register(
        Operator(
            name=symbol, parsed_from=parsed_from, ignored=ignored, group="arithmetic", arity=(2, 2),
            description=description, example=example, type_rule=type_rule, unit_rule=unit_rule, compile=compile,
            possible=possible, fraction=fraction, to_sql=to_sql or sql.numeric_infix(symbol), text=infix,
        )
    )  # fmt: skip


_arithmetic(
    "+", exp.Add, "Both together, which are in one unit.", "talk_ms + hold_ms",
    unit_rule=rules.same_unit, compile=evaluation.strict(python.add), possible=possible.total,
)  # fmt: skip
_arithmetic(
    "-", exp.Sub, "What is left of the first, which is in the unit of the second.", "talk_ms - hold_ms",
    unit_rule=rules.same_unit, compile=evaluation.strict(python.sub), possible=possible.total,
)  # fmt: skip
_arithmetic(
    "*", exp.Mul, "The product. Its unit is that of both sides, multiplied.", "talk_ms * 2",
    unit_rule=rules.product_unit, compile=evaluation.strict(python.mul), possible=possible.multiplied,
    fraction=fractions.multiplied,
)  # fmt: skip
_arithmetic(
    "/", exp.Div, "The quotient, exact. Unknown when the divisor is 0. It cannot stand inside of an aggregate.",
    "talk_ms / hold_ms", ignored=frozenset({"typed", "safe"}),
    type_rule=rules.quotient, unit_rule=rules.quotient_unit, compile=evaluation.divided, possible=possible.divided,
    fraction=fractions.divided, to_sql=lambda node: f"({sql.numeric(node.args[0])} / nullif({sql.numeric(node.args[1])}, 0))",
)  # fmt: skip
register(
    Operator(
        name="neg", symbol="-", parsed_from=exp.Neg, group="arithmetic", arity=(1, 1),
        description="The number with the other sign.", example="- talk_ms",
        type_rule=rules.numbers, unit_rule=rules.same_unit, compile=evaluation.strict(python.neg), possible=possible.same,
        fraction=fractions.negated, to_sql=lambda node: f"(- {sql.numeric(node.args[0])})",
        text=lambda node: f"-{wrapped(node.args[0])}",
    )
)  # fmt: skip
TO_NUMBER = register(
    Operator(
        name="to_number", parsed_from=None, group="arithmetic", arity=(1, 1),
        description="A condition as a number, 1 when it holds, else 0: what `sum` and `avg` add up.", example="sum(answered)",
        type_rule=rules.plain_number, unit_rule=rules.no_unit,
        compile=evaluation.strict(int), possible=possible.number_of_condition,
        to_sql=lambda node: f"({sql.to_sql(node.args[0])})::int", text=lambda node: text_of(node.args[0]),
    )
)  # fmt: skip


# Comparisons


def _comparison(
    symbol: str, parsed_from: type[exp.Expr], description: str, example: str, work: Any, *, ordered: bool = True
) -> Operator:
    return register(
        Operator(
            name=symbol, parsed_from=parsed_from, group="comparison", arity=(2, 2), dates=True,
            description=f"Whether {description}. Unknown when a side is.", example=example,
            type_rule=rules.ordered if ordered else rules.equal_or_not, unit_rule=rules.same_unit,
            compile=evaluation.compared(work), possible=possible.equal if symbol == "=" else possible.compared,
            to_sql=sql.infix(symbol), text=infix,
        )
    )  # fmt: skip


EQUAL = _comparison("=", exp.EQ, "both are equal", "queue = reason", python.eq, ordered=False)
_comparison("<>", exp.NEQ, "they differ", "queue <> reason", python.ne, ordered=False)
_comparison("<", exp.LT, "the first is less", "talk_ms < hold_ms", python.lt)
AT_MOST = _comparison("<=", exp.LTE, "the first is not greater", "talk_ms <= hold_ms", python.le)
_comparison(">", exp.GT, "the first is greater", "talk_ms > hold_ms", python.gt)
AT_LEAST = _comparison(">=", exp.GTE, "the first is not less", "talk_ms >= hold_ms", python.ge)


def _read_is(checker: Checker, tree: Any, at: int) -> Node:
    if type(tree.expression) is not exp.Null:
        return checker.add_problem(at, "`is` is only for `is null` and `is not null`.", "Use `=`, or the flag itself.")
    found = IS_NULL.node([checker.check(tree.this)], at, checker.add_problem)
    return NOT.node([found], at, checker.add_problem) if tree.args.get("negate") else found


IS_NULL = register(
    Operator(
        name="is null", parsed_from=exp.Is, ignored=frozenset({"negate"}), read=_read_is, words=("is",),
        group="comparison", arity=(1, 1),
        description="Whether the value is unknown; `is not null`: whether it is known.", example="talk_ms is null",
        type_rule=rules.condition, unit_rule=rules.no_unit, compile=evaluation.is_unknown, possible=possible.is_unknown,
        to_sql=lambda node: f"({sql.to_sql(node.args[0])} IS NULL)", text=lambda node: f"{wrapped(node.args[0])} is null",
    )
)  # fmt: skip


def _read_in(checker: Checker, tree: Any, at: int) -> Node:
    if not tree.expressions:
        return checker.add_problem(at, "`in` wants a list of values.", "E.g. `channel in ('voice', 'chat')`.")
    subject = checker.check(tree.this)
    options: list[Node] = []
    for option in [checker.check(option) for option in tree.expressions]:
        compared = EQUAL.node([subject, option], option.at, checker.add_problem).args[1]
        if compared.op not in LITERALS:
            checker.add_problem(option.at, "`in` wants values, not expressions.")
        options.append(compared)
    return IN.node([subject, *options], at, checker.add_problem)


IN = register(
    Operator(
        name="in", parsed_from=exp.In, read=_read_in, words=("in",), group="comparison", arity=(2, None),
        description="Whether the value is one of a list.", example="queue in ('billing', 'sales')",
        type_rule=rules.condition, unit_rule=rules.no_unit, compile=evaluation.is_one_of, possible=possible.compared,
        to_sql=lambda node: f"({sql.to_sql(node.args[0])} IN ({', '.join(map(sql.to_sql, node.args[1:]))}))",
        text=lambda node: f"{wrapped(node.args[0])} in ({', '.join(map(text_of, node.args[1:]))})",
    )
)  # fmt: skip


def _read_between(checker: Checker, tree: Any, at: int) -> Node:
    subject, low, high = (checker.check(tree.args[name]) for name in ("this", "low", "high"))
    ends = (
        AT_LEAST.node([subject, low], at, checker.add_problem),
        AT_MOST.node([subject, high], at, checker.add_problem),
    )
    return AND.node(ends, at, checker.add_problem)


register(
    Shorthand(
        name="between", parsed_from=exp.Between, operands=("this", "low", "high"), read=_read_between,
        words=("between", "and"), description="Whether the value lies between two others, or is one of them.",
        example="talk_ms between hold_ms and acw_ms",
    )
)  # fmt: skip


# Logic


def _logical(
    name: str,
    parsed_from: type[exp.Expr],
    description: str,
    example: str,
    *,
    compile: Compiler,
    possible: PossibleRule,
    arity: tuple[int, int | None] = (2, 2),
    to_sql: Writer | None = None,
    text: Writer = infix,
) -> Operator:
    """`to_sql`: by default the name between the operands."""
    return register(
        Operator(
            name=name, parsed_from=parsed_from, words=(name,), group="logic", arity=arity,
            description=description, example=example, type_rule=rules.conditions, unit_rule=rules.no_unit,
            compile=compile, possible=possible, to_sql=to_sql or sql.infix(name.upper()), text=text,
        )
    )  # fmt: skip


AND = _logical(
    "and", exp.And, "Whether both conditions hold.", "answered and transferred",
    compile=evaluation.all_hold, possible=possible.all_hold,
)  # fmt: skip
_logical(
    "or", exp.Or, "Whether at least one condition holds.", "answered or transferred",
    compile=evaluation.any_holds, possible=possible.any_holds,
)  # fmt: skip


def _not_text(node: Node) -> str:
    (inner,) = node.args
    return f"{wrapped(inner.args[0])} is not null" if inner.op == IS_NULL.name else f"not {wrapped(inner)}"


NOT = _logical(
    "not", exp.Not, "Whether the condition does not hold. Unknown when it is.", "not answered", arity=(1, 1),
    compile=evaluation.negated, possible=possible.negated, text=_not_text,
    to_sql=lambda node: f"(NOT {sql.to_sql(node.args[0])})",
)  # fmt: skip


# Choice


def _read_case(checker: Checker, tree: Any, at: int) -> Node:
    args: list[Node] = []
    subject = None if tree.this is None else checker.check(tree.this)
    for when in tree.args["ifs"]:
        condition = checker.check(when.this)
        if subject is None:
            rules.want_conditions([condition], "when", checker.add_problem)
        else:
            condition = EQUAL.node([subject, condition], at, checker.add_problem)
        args += [condition, checker.check(when.args["true"])]
    otherwise = tree.args.get("default")
    args.append(Node("null", type=NULL) if otherwise is None else checker.check(otherwise))
    return CASE.node(args, at, checker.add_problem)


def _case_text(node: Node) -> str:
    args = [text_of(arg) for arg in node.args]
    whens = [f"when {when} then {then}" for when, then in zip(args[:-1:2], args[1::2], strict=True)]
    otherwise = [] if node.args[-1].op == "null" else [f"else {args[-1]}"]
    return " ".join(["case", *whens, *otherwise, "end"])


def _case_sql(node: Node) -> str:
    args = [sql.to_sql(arg) for arg in node.args]
    whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(args[:-1:2], args[1::2], strict=True))
    return f"(CASE {whens} ELSE {args[-1]} END)"


CASE = register(
    Operator(
        name="case", parsed_from=exp.Case, operands=("this", "ifs", "default"), read=_read_case,
        words=("case", "when", "then", "else", "end"), group="choice", arity=(1, None),
        description="The result beside the first condition that holds; without `else` unknown when none does.",
        example="case when answered then talk_ms else 0 end",
        type_rule=rules.case_results, unit_rule=rules.same_unit, compile=evaluation.chosen, possible=possible.chosen,
        to_sql=_case_sql, text=_case_text,
    )
)  # fmt: skip
