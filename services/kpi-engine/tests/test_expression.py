"""Expressions: what is refused and where, and that SQL and the reader of values mean the same as plain Python."""

import pytest
from kpi_engine.model.columns import SOURCE_COLUMNS
from kpi_engine.model.expression import Scope, parse
from kpi_engine.model.functions import text_of
from kpi_engine.model.plan import Plan

LEG = Scope(SOURCE_COLUMNS["legs"], attributes=True, gaps=True)
VALUE = Scope(SOURCE_COLUMNS["legs"], aggregates=True, attributes=True, gaps=True)


@pytest.mark.parametrize(
    ("text", "at", "says", "cure"),
    [
        ("chanel = 'voice'", 0, "no column `chanel`", "`channel`"),
        ("channel = 'voice' and talk_m > 0", 22, "no column `talk_m`", "`talk_ms`"),
        ("talk_ms + transfers > 0", 10, "mixes units", ""),
        ("talk_ms > csat", 10, "mixes units", ""),
        ("channel > 'voice'", 0, "no order", "`=`"),
        ("channel = 3", 0, "cannot be compared", ""),
        ("queue = null", 0, "never true", "is null"),
        ("talk_ms and answered", 0, "wants conditions", ""),
        ("lower(queue) = 'x'", 0, "`lower` is not allowed", "One of"),
        ("exists (select 1)", 8, "Sub-queries", ""),
        ("queue in (select 'x')", 10, "Sub-queries", ""),
        ("queue in (reason)", 10, "values, not expressions", ""),
        ("sum(talk_ms) > 3", 0, "is an aggregate", ""),
        ("answered; drop table fact", 8, "One expression", ""),
        ("answered and", 9, "cannot be read", ""),
        ("queue = 'x", 8, "cannot be read", "quote"),
        ("talk_ms::text = 'x'", 7, "not allowed", ""),
        ("a.b.c = 1", 0, "not allowed", ""),
        ("workday = 'yesterday'", 10, "not a date", "2026-03-02"),
        ("silence(min_gap => 3) > 1", 8, "no argument `min_gap`", "`min_gap_ms`"),
        ("silence(3) > 1", 8, "named", "min_gap_ms"),
        ("silence(hold => 3) > 1", 8, "cannot be used", "true or false"),
        ("talk_ms between symmetric 1 and 2", 16, "not allowed", ""),
        ("answered is true", 0, "`is` is only", ""),
        ("talk_ms > 1e400", 10, "not a number", ""),
    ],
)
def test_a_condition_that_is_refused(text: str, at: int, says: str, cure: str):
    _, problems = parse(text, LEG)
    assert problems, text
    assert problems[0].at == at
    assert says in problems[0].problem
    assert cure in problems[0].cure


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("talk_ms", "outside of an aggregate"),
        ("sum(talk_ms) / talk_ms", "outside of an aggregate"),
        ("sum(avg(talk_ms))", "do not nest"),
        ("sum(talk_ms) + count(*)", "mixes units"),
        ("sum(talk_ms / hold_ms)", "division stands inside"),
        ("sum(queue)", "wants a number"),
        ("count(distinct queue)", "not allowed"),
        ("count()", "missing"),
        ("sum(talk_ms) filter (where answered)", "not allowed"),
        ("sum(talk_ms) over ()", "not allowed"),
        ("min(talk_ms, hold_ms)", "not allowed"),
        ("sum(silence()) + sum(interruptions)", "mixes units"),
    ],
)
def test_a_value_that_is_refused(text: str, says: str):
    _, problems = parse(text, VALUE)
    assert any(says in problem.problem for problem in problems), problems


def test_nesting_without_end_is_a_problem_and_no_crash():
    for text in ("(" * 1500 + "1" + ")" * 1500, " + ".join(["sum(talk_ms)"] * 200), "not " * 900 + "answered"):
        _, problems = parse(text, VALUE)
        assert problems


@pytest.mark.parametrize(
    "text",
    [
        "100 * sum(silence()) / sum(conversation_ms)",
        "sum(silence(min_gap_ms => 3000, hold => true))",
        "avg(case when answered then talk_ms else 0 end)",
        "sum(abandoned) / count(*)",
        "coalesce(min(talk_ms), max(hold_ms)) + nullif(sum(acw_ms), 0)",
        "sum(case when attributes.language in ('en', 'zh') then 1 end)",
    ],
)
def test_an_expression_reads_back_as_itself(text: str):
    tree, problems = parse(text, VALUE)
    assert not problems
    again, problems = parse(text_of(tree), VALUE)
    assert not problems
    assert again == tree


def value_of(text: str, components: dict[str, int | None], sample: int = 1):
    tree, problems = parse(text, VALUE)
    assert not problems
    plan = Plan(None, tree)
    return plan.compute_value([components[each.name] for each in plan.components], sample, parts=True)


def test_a_division_has_a_numerator_and_a_denominator():
    """170 s of silence in 260 s: 17,000,000 / 260,000 = 65.384615…"""
    answer = value_of(
        "100 * sum(silence()) / sum(conversation_ms)",
        {"sum(silence())": 170000, "count(silence())": 1, "sum(conversation_ms)": 260000, "count(conversation_ms)": 1},
        25,
    )
    assert (answer.text, answer.numerator, answer.denominator) == ("65.3846", 17000000, 260000)
    assert dict(answer.parts) == {"sum(silence())": 170000, "sum(conversation_ms)": 260000}


def test_an_average_is_a_division_and_its_factors_are_drawn_in():
    answer = value_of("avg(talk_ms) / 1000", {"sum(talk_ms)": 7000, "count(talk_ms)": 2}, 2)
    assert (answer.text, answer.numerator, answer.denominator) == ("3.5", 7000, 2000)


@pytest.mark.parametrize(
    ("text", "components", "sample", "reason"),
    [
        ("sum(talk_ms) / count(*)", {"sum(talk_ms)": 0, "count(talk_ms)": 0, "count(*)": 0}, 0, "no facts"),
        ("sum(talk_ms) / sum(hold_ms)", {"sum(talk_ms)": 5, "count(talk_ms)": 1, "sum(hold_ms)": 0, "count(hold_ms)": 1}, 1, "division by zero: sum(hold_ms) is 0"),
        ("sum(talk_ms) / count(*)", {"sum(talk_ms)": 0, "count(talk_ms)": 0, "count(*)": 3}, 3, "sum(talk_ms) has no known value"),
        ("sum(talk_ms) / (count(*) / sum(transfers))", {"sum(talk_ms)": 5, "count(talk_ms)": 1, "count(*)": 1, "sum(transfers)": 0, "count(transfers)": 1}, 1, "division by zero: sum(transfers) is 0"),
    ],
)  # fmt: skip
def test_no_value_comes_with_a_reason(text: str, components: dict[str, int | None], sample: int, reason: str):
    answer = value_of(text, components, sample)
    assert answer.value is None
    assert reason in (answer.reason or "")
