"""The functions of the table that work on single values. A new one needs an entry here and a line in
tests/test_functions.py, which runs every entry's example against PostgreSQL."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from kpi_engine.model.functions import evaluation, possible, rules, sql, text
from kpi_engine.model.functions.table import Checker, Function, Possible, register
from kpi_engine.model.problem import nearest
from kpi_engine.model.tree import Node, Silence, Type

register(
    Function(
        name="abs",
        description="The number without its sign.",
        example="abs(talk_ms - hold_ms)",
        parsed_from=exp.Abs,
        arity=(1, 1),
        type_rule=rules.numbers,
        unit_rule=rules.same_unit,
        compile=evaluation.strict(abs),
        to_sql=sql.numeric_call,
        text=text.call,
        possible=possible.same,
    )
)
register(
    Function(
        name="coalesce",
        description="The first of several values that is known.",
        example="coalesce(talk_ms, hold_ms, 0)",
        parsed_from=exp.Coalesce,
        arity=(1, None),
        type_rule=rules.alike,
        unit_rule=rules.same_unit,
        compile=evaluation.first_known,
        to_sql=sql.call,
        text=text.call,
        possible=possible.first_known,
    )
)
register(
    Function(
        name="nullif",
        description="The first value; unknown when it equals the second.",
        example="nullif(talk_ms, 0)",
        parsed_from=exp.Nullif,
        arity=(2, 2),
        dates=True,
        type_rule=rules.first,
        unit_rule=rules.same_unit,
        compile=evaluation.unless_equal,
        to_sql=sql.call,
        text=text.call,
        possible=possible.or_unknown,
    )
)


# Greatest and least: unknown when one value is, where PostgreSQL's own functions skip it. Each argument is rendered once: when
# rendered twice, nested ones would grow exponentially.


def _extreme_possible(args: Sequence[Possible]) -> Possible:
    known = [each - {None} for each in args]
    unknown = possible.UNKNOWN if any(None in each for each in args) else frozenset[Any]()
    return unknown.union(*known) if all(known) else unknown


def _extreme(name: str, parsed_from: type[exp.Expr], work: Callable[..., Any], aggregate: str) -> None:
    def to_sql(node: Node) -> str:
        values = ", ".join(map(sql.numeric, node.args))
        return (
            f"(SELECT CASE WHEN count(*) = count(v) THEN {aggregate}(v) END FROM unnest(ARRAY[{values}]) AS given (v))"  # noqa: S608
        )

    register(
        Function(
            name=name,
            description=f"The {name} of several numbers, which are in one unit; unknown when one of them is.",
            example=f"{name}(talk_ms, hold_ms)",
            parsed_from=parsed_from,
            ignored=frozenset({"ignore_nulls"}),
            arity=(2, None),
            type_rule=rules.numbers,
            unit_rule=rules.same_unit,
            compile=evaluation.strict(work),
            to_sql=to_sql,
            text=text.call,
            possible=_extreme_possible,
        )
    )


_extreme("greatest", exp.Greatest, max, "max")
_extreme("least", exp.Least, min, "min")


# Silence: its arguments are named, and say how it is measured.

_GAPS = (
    "(SELECT coalesce(sum(length), 0) FROM (SELECT f.gaps[i][2] - f.gaps[i][1] AS length "
    "FROM generate_subscripts(f.gaps, 1) AS i) AS gap WHERE length >= {min_gap_ms})"
)


def _read_silence(checker: Checker, tree: Any, at: int) -> Node:
    if not checker.scope.gaps:
        return checker.add_problem(at, "Facts of this source know no silence.")
    checker.only_inside("silence()", at)
    arguments: dict[str, Any] = {}
    for argument in tree.expressions:
        where = checker.start(argument)
        if type(argument) is not exp.Kwarg:
            return checker.add_problem(
                where, "Arguments of `silence` are named.", "E.g. `silence(min_gap_ms => 3000)`."
            )
        name, value = argument.this.name.lower(), argument.expression
        where = max(checker.text.rfind(name, 0, where), 0)  # sqlglot knows the place of the value only
        if name not in ("min_gap_ms", "hold") or name in arguments:
            problem = f"`{name}` is given twice." if name in arguments else f"`silence` has no argument `{name}`."
            return checker.add_problem(where, problem, nearest(name, ("min_gap_ms", "hold")))
        if name == "hold" and type(value) is exp.Boolean:
            arguments[name] = bool(value.this)
        elif name == "min_gap_ms" and type(value) is exp.Literal and re.fullmatch(r"\d{1,9}", value.this):
            arguments[name] = int(value.this)
        else:
            cure = "true or false" if name == "hold" else "whole milliseconds"
            return checker.add_problem(where, f"`{name}` has a value that cannot be used.", f"It wants {cure}.")
    return Node(SILENCE.name, value=Silence(**arguments), type=Type("number", (("ms", 1),)), at=at)


def _silence_text(node: Node) -> str:
    silence: Silence = node.value
    arguments = [f"min_gap_ms => {silence.min_gap_ms}"] if silence.min_gap_ms is not None else []
    arguments += ["hold => true"] if silence.hold else []
    return f"silence({', '.join(arguments)})"


def _silence_sql(node: Node) -> str:
    silence: Silence = node.value
    if silence.min_gap_ms is None:
        base = "f.silence_vendor_ms"
    else:
        # An unknown list is unknown silence; an empty list is none.
        base = f"(CASE WHEN f.gaps IS NOT NULL THEN {_GAPS.format(min_gap_ms=silence.min_gap_ms)} END)"
    return f"({base}::numeric + f.hold_ms::numeric)" if silence.hold else base


def _silence_of_facts(node: Node, _args: Any) -> Any:
    raise KeyError(node.op)  # like a column: only PostgreSQL holds facts


SILENCE = register(
    Function(
        name="silence",
        description="Silence in milliseconds: the vendor's own figure; with `min_gap_ms` the listed gaps of at least so "
        "many milliseconds, summed; with `hold => true` the time on hold as well.",
        example="silence(min_gap_ms => 3000, hold => true)",
        parsed_from=exp.Anonymous,
        read=_read_silence,
        arity=(0, 0),
        type_rule=lambda call: Type("number", (("ms", 1),)),
        unit_rule=lambda call, args: (("ms", 1),),
        compile=_silence_of_facts,
        to_sql=_silence_sql,
        text=_silence_text,
        possible=possible.any_number,
    )
)
