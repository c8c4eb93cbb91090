"""The table of operators, functions and aggregates: every entry is tried, and means the same in Python and PostgreSQL."""

import ast
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import kpi_engine
import psycopg
import pytest
from kpi_engine.model.columns import SOURCE_COLUMNS
from kpi_engine.model.expression import Scope, parse
from kpi_engine.model.functions import (
    Aggregate,
    Evaluator,
    Operation,
    Syntax,
    Undefined,
    entries,
    evaluate,
    function_names,
    register,
    text_of,
    to_sql,
)
from kpi_engine.model.plan import Plan
from kpi_engine.model.tree import Node
from kpi_engine.model.without_agent import counts_without_agent
from kpi_engine.store.partials import components_sql, merged_components_sql

FACT = Scope(SOURCE_COLUMNS["legs"], attributes=True, gaps=True)
VALUE = Scope(SOURCE_COLUMNS["legs"], aggregates=True, attributes=True, gaps=True)
NUMBERS, FLAGS, WORDS = (None, -3, 0, 5), (None, False, True), (None, "billing", "other")
COLUMNS = {"talk_ms": NUMBERS, "hold_ms": NUMBERS, "acw_ms": (4,), "answered": FLAGS, "transferred": FLAGS,
           "queue": WORDS, "reason": WORDS}  # fmt: skip
FACTS = [dict(zip(COLUMNS, values, strict=True)) for values in product(*COLUMNS.values())]


def of_entry(each: Syntax) -> str:
    return each.name


def read(text: str) -> Node:
    tree, problems = parse(text, VALUE if "sum(" in text or text.startswith(AGGREGATES) else FACT)
    assert not problems, problems
    return tree


AGGREGATES = tuple(f"{each.name}(" for each in entries() if isinstance(each, Aggregate))
SINGLE = [each for each in entries() if not isinstance(each, Aggregate)]


def from_fact(node: Node) -> Evaluator | None:
    return (lambda fact: fact[node.value]) if node.op == "column" else None


def value_of(node: Node, fact: dict[str, Any]) -> Any:
    try:
        return evaluate(node, fact, from_fact)
    except Undefined:
        return None


@pytest.fixture(scope="module")
def database(cluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """With the facts as the table `f`."""
    with psycopg.connect(cluster.server.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE f (n int, talk_ms bigint, hold_ms bigint, acw_ms bigint, "
                       "answered bool, transferred bool, queue text, reason text)")  # fmt: skip
        cursor.executemany("INSERT INTO f VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                           [(n, *fact.values()) for n, fact in enumerate(FACTS)])  # fmt: skip
        yield connection
        connection.rollback()


# One line for each function: its value, worked out by hand.
WORKED: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "abs(talk_ms - hold_ms)": [({"talk_ms": 2, "hold_ms": 5}, 3), ({"talk_ms": None, "hold_ms": 5}, None)],
    "coalesce(talk_ms, hold_ms, 0)": [
        ({"talk_ms": None, "hold_ms": 5}, 5),
        ({"talk_ms": 1, "hold_ms": 5}, 1),
        ({"talk_ms": None, "hold_ms": None}, 0),
    ],
    "greatest(acw_ms - 30000, hold_ms, 0)": [
        ({"acw_ms": 42000, "hold_ms": 100}, 12000),
        ({"acw_ms": 0, "hold_ms": 0}, 0),
        ({"acw_ms": None, "hold_ms": 5}, None),
    ],
    "least(talk_ms, 60000)": [({"talk_ms": 90000}, 60000), ({"talk_ms": -1}, -1), ({"talk_ms": None}, None)],
    "nullif(talk_ms, 0)": [({"talk_ms": 0}, None), ({"talk_ms": 7}, 7), ({"talk_ms": None}, None)],
}


@pytest.mark.parametrize("text", WORKED)
def test_a_function_has_the_value_that_is_worked_out_by_hand(text: str):
    for fact, value in WORKED[text]:
        assert value_of(read(text), fact) == value


def test_every_function_is_worked_out_by_hand():
    named = {text.partition("(")[0] for text in WORKED}
    assert named | {"silence"} == {name for name in function_names() if f"{name}(" not in AGGREGATES}


@pytest.mark.parametrize("entry", entries(), ids=of_entry)
def test_an_entry_has_an_example_that_uses_it_and_reads_back(entry: Syntax):
    tree = read(entry.example)
    assert read(text_of(tree)) == tree
    assert entry.description.endswith(".")
    if isinstance(entry, Operation):
        assert entry.name in [node.op for node in tree.walk()]
    else:
        assert entry.name in entry.example


@pytest.mark.parametrize("entry", [each for each in SINGLE if each.name not in ("silence", "to_number")], ids=of_entry)
def test_postgresql_and_python_agree_on_an_example(entry: Syntax, database):
    tree = read(entry.example)
    found = [value for (value,) in database.execute(f"SELECT {to_sql(tree)} FROM f ORDER BY n").fetchall()]
    values = [value_of(tree, fact) for fact in FACTS]
    assert [rounded(value) for value in found] == [rounded(value) for value in values]
    assert len(set(values)) > 1


def rounded(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else round(Fraction(value), 9)


@pytest.mark.parametrize("argument", ["talk_ms", "answered", "greatest(talk_ms, talk_ms - 1)", "nullif(acw_ms, 4)"])
@pytest.mark.parametrize("entry", [each for each in entries() if isinstance(each, Aggregate)], ids=of_entry)
def test_an_aggregate_is_finished_from_partials_and_these_can_be_merged(entry: Aggregate, argument: str, database):
    tree, problems = parse(f"{entry.name}({argument})", VALUE)
    assert bool(problems) == (argument == "answered" and entry.name in ("min", "max"))
    if problems:
        return
    plan = Plan(None, tree)
    plain = f"{entry.name}(({argument})::int)"
    # PostgreSQL's own aggregate, and the partials of each day of facts, as well as of all.
    ((expected, components),) = database.execute(f"SELECT {plain}, {components_sql(plan)} FROM f").fetchall()
    days = f"SELECT {components_sql(plan)} AS c FROM f GROUP BY n % 7"
    ((together,),) = database.execute(f"SELECT {merged_components_sql(plan, 'r.c')} FROM ({days}) AS r").fetchall()
    of_days = [each for (each,) in database.execute(days).fetchall()]
    assert components == together == plan.merge_components(of_days)
    answer = plan.compute_value(components, len(FACTS))
    assert rounded(answer.value) == rounded(expected)
    assert plan.retractable == (entry.name not in ("min", "max"))


def test_many_arguments_are_looked_through_at_once():
    many = ", ".join(["talk_ms", "hold_ms"] * 120)
    tree, problems = parse(f"sum(greatest({many}, 0)) / count(*)", VALUE)
    assert not problems
    assert not counts_without_agent(Plan(read("answered"), tree))


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="abs"):
        register(next(each for each in entries() if each.name == "abs"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("abs(queue)", "wants numbers"), ("nullif(queue, 3)", "cannot be compared"), ("coalesce(queue, 3)", "mixes")],
)
def test_an_argument_that_does_not_fit_is_named(text: str, says: str):
    _, problems = parse(f"{text} is null", FACT)
    assert says in problems[0].problem


def test_nothing_outside_of_the_table_compares_the_name_of_a_function():
    """`silence` is no operation on values but, like a column, something that a fact has."""
    names = {*function_names()} - {"silence"}
    for path in Path(kpi_engine.__file__).parent.rglob("*.py"):
        if "functions" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                compares_operator = isinstance(node, ast.Compare | ast.Match) and ".op" in ast.unparse(
                    node.subject if isinstance(node, ast.Match) else node.left
                )
                constants = (
                    {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                    if compares_operator
                    else {*()}
                )
                assert not constants & names, (path, constants & names)
