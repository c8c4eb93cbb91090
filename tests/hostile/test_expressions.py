"""Expressions that are made to be read for ever: each is answered at once, by a problem with its place and a cure."""

import time

import pytest
from kpi_engine.model.columns import SOURCE_COLUMNS
from kpi_engine.model.document import parse_model
from kpi_engine.model.document_text import ModelInvalid
from kpi_engine.model.expression import Scope, parse
from kpi_engine.model.functions import text_of
from kpi_engine.model.plan import Plan
from kpi_engine.model.targets import parse_selector

AT_MOST_SECONDS = 1.0
"""Of work that takes milliseconds here: others may share the machine."""

LEG = Scope(SOURCE_COLUMNS["legs"], attributes=True, gaps=True)
VALUE = Scope(SOURCE_COLUMNS["legs"], aggregates=True, attributes=True, gaps=True)

# Name, expression, what is said of it. What a parser of all of SQL would read in several ways, each inside of another.
REFUSED = [
    ("types", "decimal(" * 40 + "1" + ")" * 40, "nested"),
    ("types, less deep", "decimal(" * 15 + "1" + ")" * 15, "`decimal` is not allowed"),
    ("types of types", "array<struct<map<" * 60 + "1", "not allowed"),
    ("casts", "cast(" * 20 + "1" + " as int)" * 20, "`cast` is not allowed"),
    ("dates", "date(" * 20 + "1" + ")" * 20, "`date` is not allowed"),
    ("intervals", "interval " * 300 + "'1'", "`interval` is not allowed"),
    ("names called", '"a"(' * 20 + "1" + ")" * 20, "not allowed"),
    ("attributes called", "attributes.decimal(" * 20 + "1" + ")" * 20, "not allowed"),
    ("arguments called", "silence(" + "decimal(" * 20 + "1" + ")" * 20 + " => 1)", "not allowed"),
    ("parentheses", "(" * 2000 + "1" + ")" * 1999, "more than 1000"),
    ("functions", "abs(" * 300 + "1" + ")" * 300, "nested"),
    ("cases", "case when " * 200 + "true", "nested"),
    ("lists", "1 in (" * 200 + "1" + ")" * 200, "nested"),
    ("signs", "- " * 1900 + "1", "nested|more than"),
    ("nots", "not " * 900 + "answered", "nested"),
    ("nots in parentheses", ("not " * 20 + "(") * 29 + "answered" + ")" * 29, "nested"),
    ("a sum without end", "1" + "+1" * 1999, "more than 1000"),
    ("a sum", " + ".join(["sum(talk_ms)"] * 200), "nested|aggregates"),
    ("sums", "+".join(f"sum(talk_ms + {n})" for n in range(55)), "aggregate"),
    ("comparisons", "talk_ms = " * 300 + "1", "nested"),
    ("dots", "attributes" + ".a" * 490, "not allowed|nested"),
    ("commas", "coalesce(" + "," * 980, "cannot be read"),
    ("arguments", "silence(" + "hold => true," * 190 + "hold => true)", "given twice"),
    ("arguments of arguments", "silence(" + "hold => " * 400 + "true)", "cannot be read"),
    ("quotes", "'" * 3999, "quote is not closed"),
    ("comments in comments", "/*" * 1900, "cannot be read"),
    ("comments alone", "--" * 1900, "One expression"),
    ("spaces", " " * 3999, "One expression"),
    ("sub-queries", "(select " * 29 + "1", "Sub-queries"),
    ("statements", ";" * 900, "One expression"),
    ("dollars", "$" * 900, "not allowed"),
    ("too long", "1" * 4001, "longer than"),
    # What is computed once for each comparison, inside of itself.
    ("between", "abs(case when " * 9 + "1" + " between 1 and 2 then 1 else 2 end)" * 9 + " between 1 and 2", "operations"),
    ("case of cases", "case " * 9 + "talk_ms" + (" when 1 then 1" * 10 + " end") * 9, "operations"),
]  # fmt: skip

# What is long and right: it is read in the same time.
TAKEN = [
    ("a long list", LEG, "queue in (" + ", ".join(f"'queue {n}'" for n in range(280)) + ")"),
    ("a long case", LEG, "case " + "when answered then 1 " * 150 + "end > 0"),
    ("many alternatives", LEG, " or ".join(["answered"] * 55)),
    ("many aggregates", VALUE, " + ".join(["sum(talk_ms)"] * 48)),
    ("deep parentheses", VALUE, "(" * 28 + "sum(talk_ms)" + ")" * 28),
    ("deep functions", VALUE, "abs(" * 28 + "sum(talk_ms)" + ")" * 28),
    ("attributes of any name", LEG, "attributes.decimal = 'x' and attributes.\"interval\" is null"),
    ("comments", LEG, "answered -- in time\n and /* (( */ talk_ms > 0"),
]


@pytest.mark.parametrize(("text", "says"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
@pytest.mark.parametrize("scope", [LEG, VALUE], ids=["condition", "value"])
def test_it_is_refused_at_once_with_place_and_cure(text: str, says: str, scope: Scope):
    began = time.thread_time()
    _, problems = parse(text, scope)
    took = time.thread_time() - began
    assert any(part in each.problem for each in problems for part in says.split("|")), problems[:3]
    assert all(0 <= each.at <= len(text) for each in problems)
    assert all(each.cure for each in problems if any(part in each.problem for part in says.split("|")))
    assert took < AT_MOST_SECONDS


@pytest.mark.parametrize(("scope", "text"), [each[1:] for each in TAKEN], ids=[each[0] for each in TAKEN])
def test_what_is_long_and_right_is_taken_and_written_out_at_once(scope: Scope, text: str):
    began = time.thread_time()
    tree, problems = parse(text, scope)
    assert not problems
    plan = Plan(None, tree)
    written = [text_of(tree), *(each.name for each in plan.components)]
    took = time.thread_time() - began
    assert all(written)
    assert took < AT_MOST_SECONDS


@pytest.mark.parametrize("text", [each[1] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_a_condition_on_people_is_refused_the_same(text: str):
    began = time.thread_time()
    _, problems = parse_selector(text)
    assert problems
    assert time.thread_time() - began < AT_MOST_SECONDS


MODEL = """\
kpi: talk
title: {en: Talk}
unit: seconds
direction: lower_is_better
source: legs
value: avg(talk_ms) / 1000
"""

# Whole documents: YAML and JSON that are deep, large or refer to themselves.
DOCUMENTS = [
    ("deep YAML", MODEL + "where: " + "[" * 20_000, "nested"),
    ("deep JSON", '{"kpi": ' + "[" * 30_000, "nested"),
    ("deep JSON that is closed", '{"kpi": ' + "[" * 900 + "]" * 900 + "}", "nested"),
    ("deep mappings", '{"a":' * 9000, "nested"),
    ("aliases", "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases"),
    ("too large", MODEL + "#" * 70_000, "longer"),
    ("many unknown names", MODEL + "".join(f"x{n}: 1\n" for n in range(4000)), "There is no `x0` here"),
    ("a long number", MODEL + "min_sample: " + "9" * 50_000, "digits|integer|valid|parse"),
    ("conditions on people", MODEL + "bands: {edges: [{name: a}]}\ntargets:\n" + "".join(
        f"- {{when: \"{' or '.join(['tenure_days < 90'] * 45)}\", edges: [{{name: a}}]}}\n" for _ in range(60)), "longer"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), [each[1:] for each in DOCUMENTS], ids=[each[0] for each in DOCUMENTS])
def test_a_document_is_refused_at_once(text: str, says: str):
    began = time.thread_time()
    with pytest.raises(ModelInvalid) as refused:
        parse_model(text)
    took = time.thread_time() - began
    assert any(part in each.problem for each in refused.value.problems for part in says.split("|")), refused.value
    assert len(refused.value.problems) <= 100
    assert took < 5 * AT_MOST_SECONDS
