"""Type and unit rules: the result of an operation for its arguments, and problems of arguments that do not fit."""

from collections.abc import Sequence

from kpi_engine.model.functions.table import Call, Wrong
from kpi_engine.model.functions.text import shown_text
from kpi_engine.model.tree import FLAG, NULL, UNKNOWN, Node, Type, Unit
from kpi_engine.model.units import multiply_units, render_unit

# Types


def numbers(call: Call) -> Type:
    """A number of numbers."""
    for arg in call.args:
        if arg.type.kind not in ("number", "unknown"):
            call.wrong(arg.at, f"`{call.operation.shown}` wants numbers, `{shown_text(arg)}` is a {arg.type.kind}.")
    if any(arg.type.kind != "number" for arg in call.args):
        return UNKNOWN
    return Type("number", call.operation.unit_rule(call, call.args), any(arg.type.quotient for arg in call.args))


def quotient(call: Call) -> Type:
    """As `numbers`, marked as the result of a division."""
    found = numbers(call)
    return found if found.kind == "unknown" else Type("number", found.unit, True)


def conditions(call: Call) -> Type:
    """A condition of conditions."""
    want_conditions(call.args, call.operation.shown, call.wrong)
    return FLAG


def want_conditions(args: Sequence[Node], shown: str, wrong: Wrong) -> None:
    """Reports arguments that are no conditions."""
    for arg in args:
        if arg.type.kind not in ("flag", "unknown"):
            wrong(arg.at, f"`{shown}` wants conditions, `{shown_text(arg)}` is a {arg.type.kind}.")


def condition(call: Call) -> Type:
    """A condition, whatever the arguments are."""
    return FLAG


def plain_number(call: Call) -> Type:
    """A number without unit, whatever the arguments are."""
    return Type("number", ())


def equal_or_not(call: Call) -> Type:
    """A condition on two values of one kind."""
    _comparable(call)
    return FLAG


def ordered(call: Call) -> Type:
    """A condition on two values of one kind that has an order."""
    kinds = _comparable(call)
    if kinds & {"text", "flag"}:
        problem = f"A {kinds.pop()} has no order: `{call.operation.shown}` cannot be used."
        call.wrong(call.at, problem, "Use `=`, `<>` or `in`.")
    return FLAG


def first(call: Call) -> Type:
    """The type of the first of two values that are compared."""
    _comparable(call, "=")
    return call.args[0].type


def _comparable(call: Call, shown: str = "") -> set[str]:
    """The kind of both sides; nothing when that is unknown or a problem was reported."""
    left, right = call.args
    shown = shown or call.operation.shown
    kinds: set[str] = {left.type.kind, right.type.kind} - {"unknown"}
    if "null" in kinds:
        call.wrong(call.at, f"`{shown} null` is never true.", "Write `is null` or `is not null`.")
        return set()
    if len(kinds) > 1:
        sides = f"`{shown_text(left)}` is a {left.type.kind}, `{shown_text(right)}` a {right.type.kind}"
        call.wrong(call.at, f"{sides}: they cannot be compared.")
        return set()
    if kinds == {"number"}:
        same_unit(call, call.args, shown)
    return kinds


def alike(call: Call) -> Type:
    """The common type of all arguments."""
    return common_type(call, call.args)


def case_results(call: Call) -> Type:
    """The common type of the results of a `case`, whose arguments are condition, result, …, otherwise."""
    return common_type(call, [*call.args[1::2], call.args[-1]])


def common_type(call: Call, args: Sequence[Node]) -> Type:
    """The type that all `args` have; null and unknown fit any type."""
    known = [arg for arg in args if arg.type.kind not in ("null", "unknown")]
    if not known:
        return UNKNOWN if any(arg.type.kind == "unknown" for arg in args) else NULL
    kinds = {arg.type.kind for arg in known}
    if len(kinds) > 1:
        call.wrong(call.at, f"`{call.operation.shown}` mixes {' and '.join(sorted(kinds))}.")
        return UNKNOWN
    unit = call.operation.unit_rule(call, known) if kinds == {"number"} else ()
    return Type(known[0].type.kind, unit, any(arg.type.quotient for arg in known))


def aggregated(call: Call) -> Type:
    """A number over one number that is not the result of a division."""
    (arg,) = call.args
    name = call.operation.name
    if arg.type.kind not in ("number", "unknown"):
        call.wrong(call.at, f"`{name}` wants a number, `{shown_text(arg)}` is a {arg.type.kind}.")
        return UNKNOWN
    if arg.type.quotient:
        cure = "Divide sums: a ratio is computed once, on read."
        call.wrong(arg.at, f"A division stands inside of `{name}`.", cure)
    return Type("number", call.operation.unit_rule(call, call.args))


def averaged(call: Call) -> Type:
    """As `aggregated`, marked as the result of a division."""
    found = aggregated(call)
    return found if found.kind == "unknown" else Type("number", found.unit, True)


# Units


def no_unit(call: Call, args: Sequence[Node]) -> Unit | None:
    """A plain number."""
    return ()


def same_unit(call: Call, args: Sequence[Node], shown: str = "") -> Unit | None:
    """The unit of all `args`, which are numbers; constants take it."""
    known = [arg for arg in args if arg.type.unit is not None]
    for arg in known[1:]:
        if arg.type.unit != known[0].type.unit:
            one = f"`{shown_text(known[0])}` is in {render_unit(known[0].type.unit)}"
            other = f"`{shown_text(arg)}` in {render_unit(arg.type.unit)}"
            call.wrong(arg.at, f"`{shown or call.operation.shown}` mixes units: {one}, {other}.")
    return known[0].type.unit if known else None


def product_unit(call: Call, args: Sequence[Node]) -> Unit | None:
    """E.g. ms · score."""
    return _multiplied(args, 1)


def quotient_unit(call: Call, args: Sequence[Node]) -> Unit | None:
    """E.g. ms · score^-1; a plain number for two of one unit."""
    return _multiplied(args, -1)


def _multiplied(args: Sequence[Node], sign: int) -> Unit | None:
    left, right = (arg.type.unit for arg in args)
    return None if left is None and right is None else multiply_units(left or (), right or (), sign)


def own_unit(call: Call, args: Sequence[Node]) -> Unit | None:
    """The unit of the only argument; a constant is a plain number."""
    return args[0].type.unit or ()
