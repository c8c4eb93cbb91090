"""Random expressions: what PostgreSQL makes of them over random facts equals a few lines of plain Python."""

import asyncio
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from contracts.legs import LegRecorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kpi_engine.consumers import apply_facts
from kpi_engine.model.columns import SOURCE_COLUMNS
from kpi_engine.model.expression import Scope, parse
from kpi_engine.model.functions import text_of
from kpi_engine.model.plan import Plan
from kpi_engine.model.tree import Node
from kpi_engine.service import service
from kpi_engine.store.values import SampleRow, compute_sample
from servicekit.event_door import parse_message
from testkit import parse_instant, person_id
from testkit.harness import harness

NUMBERS = ["talk_ms", "hold_ms", "silence()", "silence(min_gap_ms => 50)", "silence(min_gap_ms => 50, hold => true)"]
FLAGS = ["answered", "abandoned"]
TEXTS = ["queue", "attributes.language"]
WORDS = ["a", "b's", "c:d %x\\"]

numbers = st.recursive(
    st.sampled_from([*NUMBERS, "0", "7", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda a: f"abs(-{a})"),
        st.tuples(inner, inner).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"nullif({p[0]}, {p[1]})"),
    ),
    max_leaves=4,
)
words = st.sampled_from(WORDS).map(lambda word: "'" + word.replace("'", "''") + "'")
conditions = st.recursive(
    st.one_of(
        st.sampled_from(FLAGS),
        st.tuples(numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers).map(" ".join),
        st.tuples(st.sampled_from(TEXTS), st.sampled_from(["=", "<>"]), words).map(" ".join),
        st.tuples(st.sampled_from(TEXTS), words, words).map(lambda p: f"{p[0]} not in ({p[1]}, {p[2]})"),
        st.tuples(numbers, numbers, numbers).map(lambda p: f"{p[0]} between {p[1]} and {p[2]}"),
        st.sampled_from([*NUMBERS, *FLAGS, *TEXTS]).map(lambda name: f"{name} is not null"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda a: f"not ({a})"),
    ),
    max_leaves=4,
)
cases = st.tuples(conditions, numbers, numbers).map(lambda p: f"case when {p[0]} then {p[1]} else {p[2]} end")
maybe = st.none() | st.integers(0, 300)
legs = st.fixed_dictionaries(
    {
        "talk_ms": maybe,
        "hold_ms": maybe,
        "silence_vendor_ms": maybe,
        "gaps": st.none() | st.lists(st.integers(1, 90).map(lambda size: (10, 10 + size)), max_size=3),
        "answered": st.none() | st.booleans(),
        "abandoned": st.none() | st.booleans(),
        "queue": st.none() | st.sampled_from(WORDS),
        "attributes": st.just({}) | st.sampled_from(WORDS).map(lambda word: {"language": word}),
    }
)


def read(node: Node, leg: dict[str, Any]) -> Any:  # noqa: C901, PLR0912 - a case for each node of the language
    """The expression over one leg; None is unknown."""
    if node.op == "case":
        return read(node.args[1] if read(node.args[0], leg) is True else node.args[2], leg)
    a = [read(arg, leg) for arg in node.args]
    match node.op:
        case "number" | "text":
            return node.value
        case "column":
            return leg[node.value]
        case "attribute":
            return leg["attributes"].get(node.value)
        case "silence":
            if node.value.min_gap_ms is None:
                silent = leg["silence_vendor_ms"]
            else:
                gaps = leg["gaps"]
                silent = None if gaps is None else sum(e - b for b, e in gaps if e - b >= node.value.min_gap_ms)
            if not node.value.hold:
                return silent
            return None if silent is None or leg["hold_ms"] is None else silent + leg["hold_ms"]
        case "is null":
            return a[0] is None
        case "coalesce":
            return a[0] if a[0] is not None else a[1]
        case "nullif":
            return None if a[0] is not None and a[0] == a[1] else a[0]
        case "and":
            return False if False in a else None if None in a else True
        case "or":
            return True if True in a else None if None in a else False
        case "in":
            return None if a[0] is None else a[0] in a[1:]
    if None in a:
        return None
    match node.op:
        case "not":
            return not a[0]
        case "neg":
            return -a[0]
        case "abs":
            return abs(a[0])
        case "+":
            return a[0] + a[1]
        case "-":
            return a[0] - a[1]
        case "*":
            return a[0] * a[1]
        case "=":
            return a[0] == a[1]
        case "<>":
            return a[0] != a[1]
        case "<":
            return a[0] < a[1]
        case "<=":
            return a[0] <= a[1]
        case ">":
            return a[0] > a[1]
        case ">=":
            return a[0] >= a[1]
    raise AssertionError(node.op)


def test_sql_and_plain_python_agree(cluster, issuer):
    with asyncio.Runner() as runner:
        context = harness(service, cluster, issuer)
        h = runner.run(context.__aenter__())
        tenants = iter(range(10**6))

        @settings(max_examples=60, deadline=None, suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)))
        @given(conditions, numbers | cases, st.lists(legs, max_size=5))
        def check(where: str, value: str, facts: list[dict[str, Any]]):
            columns = SOURCE_COLUMNS["legs"]
            condition, wrong = parse(where, Scope(columns, attributes=True, gaps=True))
            whole = f"sum({value}) / count(*)"
            tree, also_wrong = parse(whole, Scope(columns, aggregates=True, attributes=True, gaps=True))
            if wrong or also_wrong:  # mixed units, or a comparison of constants with nothing
                return
            plan = Plan(condition, tree)
            row = runner.run(components(f"t{next(tenants)}", plan, facts))
            counted = [leg for leg in facts if read(condition, leg) is True]
            argument = tree.args[0].args[0]
            known = [v for leg in counted if (v := read(argument, leg)) is not None]
            assert row.sample == len(counted), where
            assert [c if c is None else Fraction(c) for c in row.components] == [
                sum(known),
                len(known),
                len(counted),
            ], text_of(tree)
            expected = Fraction(sum(known)) / len(counted) if known else None
            assert plan.compute_value(row.components, row.sample).value == expected

        async def components(tenant: str, plan: Plan, facts: list[dict[str, Any]]) -> SampleRow:
            messages = [
                h.message(
                    LegRecorded(
                        interaction_id=person_id(f"{tenant} {n}"), leg=1, version=1, source="s", vendor="v", external_id=str(n),
                        channel="voice", started_at=parse_instant("2026-03-02T08:00Z"), workday=date(2026, 3, 2), **leg,
                    ),
                    tenant=tenant,
                )
                for n, leg in enumerate(facts)
            ]  # fmt: skip
            received = [parse_message(message) for message in messages]
            async with h.context.sessions.begin([tenant], now=h.now) as session:
                await apply_facts(
                    session,
                    [(each.attributes, each.key, each.raw) for each in received if each.raw is not None],
                    mode="live",
                )
                return await compute_sample(session, plan, "legs", 100)

        try:
            check()
        finally:
            runner.run(context.__aexit__(None, None, None))


def test_numbers_beyond_64_bits_neither_wrap_nor_fail(cluster, issuer):
    tree, _ = parse("sum(talk_ms * talk_ms * talk_ms)", Scope(SOURCE_COLUMNS["legs"], aggregates=True))
    plan = Plan(None, tree)
    huge = 2**62

    async def run() -> Decimal | None:
        async with harness(service, cluster, issuer) as h:
            leg = LegRecorded(
                interaction_id=person_id("x"), leg=1, version=1, source="s", vendor="v", external_id="1", channel="voice",
                started_at=parse_instant("2026-03-02T08:00Z"), workday=date(2026, 3, 2), talk_ms=huge,
            )  # fmt: skip
            await h.deliver(leg, tenant="t1")
            async with h.context.sessions.begin(["t1"], now=h.now) as session:
                return (await compute_sample(session, plan, "legs", 10)).components[0]

    assert asyncio.run(run()) == huge**3
