"""Abstract evaluation: the possible values of an expression, from the sets of possible values of its parts."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from kpi_engine.model.functions.table import Possible, require_scalar
from kpi_engine.model.tree import Node

ANY, ZERO = "any", "zero"  # not 0, which Python holds to be False
UNKNOWN: Possible = frozenset({None})
CONDITION: Possible = frozenset({None, True, False})
NUMBER: Possible = frozenset({None, ZERO, ANY})


def possible_values(node: Node, leaf: Callable[[Node], Possible | None]) -> Possible:
    """The possible values of `node`. `leaf`: those of columns and aggregates, and None for other nodes."""
    leaf_value = leaf(node)
    if leaf_value is not None:
        return leaf_value
    match node.op:
        case "number":
            return frozenset({ZERO if node.value == 0 else ANY})
        case "text" | "date":
            return frozenset({ANY})
        case "flag":
            return frozenset({bool(node.value)})
        case "null":
            return UNKNOWN
        case _:
            return require_scalar(node.op).possible([possible_values(arg, leaf) for arg in node.args])


# The rules of entries


def any_number(args: Sequence[Possible]) -> Possible:
    """Any number: a safe over-estimate for every function of numbers."""
    return NUMBER


def number_of_condition(args: Sequence[Possible]) -> Possible:
    """0 for a condition that does not hold."""
    return frozenset({True: ANY, False: ZERO}.get(each, each) for each in args[0])


def same(args: Sequence[Possible]) -> Possible:
    """As the argument: 0 only for 0, unknown only for unknown."""
    return args[0]


def total(args: Sequence[Possible]) -> Possible:
    """0 only when all are 0. A sum that happens to be 0 counts as ANY."""
    return frozenset({None if None in each else ZERO if set(each) == {ZERO} else ANY for each in product(*args)})


def multiplied(args: Sequence[Possible]) -> Possible:
    """0 when a factor is."""
    return frozenset({None if None in each else ZERO if ZERO in each else ANY for each in product(*args)})


def divided(args: Sequence[Possible]) -> Possible:
    """Unknown when the divisor is 0; 0 when the dividend is."""
    return frozenset({None if None in each or each[1] == ZERO else each[0] for each in product(*args)})


def negated(args: Sequence[Possible]) -> Possible:
    """The other of True and False."""
    return frozenset(each if each is None else not each for each in args[0])


def is_unknown(args: Sequence[Possible]) -> Possible:
    """Whether None is possible, and whether anything else is."""
    return frozenset(each is None for each in args[0])


def all_hold(args: Sequence[Possible]) -> Possible:
    """By the logic of SQL, for every combination."""
    return frozenset(False if False in each else None if None in each else True for each in product(*args))


def any_holds(args: Sequence[Possible]) -> Possible:
    """By the logic of SQL, for every combination."""
    return frozenset(True if True in each else None if None in each else False for each in product(*args))


def chosen(args: Sequence[Possible]) -> Possible:
    """Any result whose condition may hold, as far as none before it surely does; else the last argument."""
    found: Possible = frozenset()
    for when, then in zip(args[:-1:2], args[1::2], strict=True):
        if True in when:
            found |= then
        if when == frozenset({True}):
            return found
    return found | args[-1]


def first_known(args: Sequence[Possible]) -> Possible:
    """Any argument, as far as those before it may be unknown."""
    found: Possible = frozenset()
    for each in args:
        found |= each - {None}
        if None not in each:
            return found
    return found | {None}


def or_unknown(args: Sequence[Possible]) -> Possible:
    """The first argument, or nothing."""
    return args[0] | {None}


def compared(args: Sequence[Possible]) -> Possible:
    """Unknown when a side is; else not known."""
    if not all(each - {None} for each in args):
        return UNKNOWN
    return CONDITION if any(None in each for each in args) else CONDITION - {None}


def equal(args: Sequence[Possible]) -> Possible:
    """As `compared`, but of single known values it is known whether they are equal."""
    values: list[frozenset[Any]] = [each - {None} for each in args]
    if all(len(each) == 1 and ANY not in each for each in values):
        return (compared(args) & {None}) | {values[0] == values[1]}
    return compared(args)
