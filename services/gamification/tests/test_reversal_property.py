"""Whatever the order in which scores come and are corrected, the net points are those of the final scores, once the
last word is a live one: history is a baseline, but moves nothing by itself."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import groupby

from contracts import new_id
from contracts.blueprints import BlueprintPublished
from contracts.scores import Score, ScoreChanged
from gamification.service import service
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import tenant
from testkit.harness import harness

FIRST = date(2026, 3, 2)
DAYS = [FIRST + timedelta(days=n) for n in (0, 1, 2, 3, 4, 7, 8, 9)]
LATE = datetime(2026, 4, 1, 8, tzinfo=UTC)
RULE = {
    "kind": "improvement", "rule": "better", "title": {"en": "Better"}, "kpi": "silence_pct", "points": 10,
    "min_improvement": 5, "step": 10, "baseline_days": 3, "min_sample": 5, "week_cap": 60,
}  # fmt: skip

words = st.tuples(
    st.sampled_from(DAYS),
    st.sampled_from([10, 20, 30, 40, 50, 60]),  # numerator
    st.sampled_from([1, 1, 1, 1, 2, 0]),  # denominator, in hundreds
    st.integers(4, 12),  # sample
    st.sampled_from(["live", "live", "history"]),
    st.sampled_from([False, False, True]),  # whether it comes while the day is running
)


def expected(story) -> dict[date, int]:
    """A few plain lines: the final word on each day, then day after day."""
    final, live = {}, set()
    for day, numerator, hundreds, sample, mode, _ in story:
        final[day] = (Fraction(100 * numerator), Fraction(100 * hundreds), sample)
        if mode == "live":
            live.add(day)
    points, good = {}, []
    for day in sorted(final):
        numerator, denominator, sample = final[day]
        if not denominator or sample < 5:
            continue
        if len(good) >= 3 and day in live:
            baseline = sum(n for n, _ in good[-3:]) / sum(d for _, d in good[-3:])
            better = 100 * (baseline - numerator / denominator) / baseline if baseline else 0
            if better >= 5:
                spent = sum(value for other, value in points.items() if other.isocalendar()[1] == day.isocalendar()[1])
                points[day] = min(10 * int(better // 10), 60 - spent)
        good.append((numerator, denominator))
    return {day: value for day, value in points.items() if value}


def said_again(story):
    """The story, and then the final word on each day that was ever live, as a live one."""
    final, live = {}, set()
    for day, *word, mode, _ in story:
        final[day] = word
        live |= {day} if mode == "live" else set()
    return [*story, *((day, *final[day], "live", False) for day in sorted(live))]


def build_events(agent, story):
    """(when, event) in the order of the story."""
    for day, numerator, hundreds, sample, mode, running in story:
        value = f"{numerator / hundreds:.4f}" if hundreds else None
        score = Score(
            value=value, numerator=str(100 * numerator), denominator=str(100 * hundreds), sample=sample,
            model_version=1, direction="lower_is_better",
        )  # fmt: skip
        body = ScoreChanged(agent_id=agent, workday=day, mode=mode, scores={"silence_pct": score})
        yield (datetime.combine(day, time(12), tzinfo=UTC) if running else LATE), body


async def play(h, story) -> None:
    agent = new_id()
    for moment, batch in groupby(build_events(agent, story), key=lambda pair: pair[0]):
        await h.deliver(*(body for _, body in batch), tenant="acme", at=moment)
    await h.tick(LATE + timedelta(days=1))
    rows = await h.rows("acme", "SELECT * FROM ledger WHERE tenant = 'acme' AND agent_id = :agent", agent=agent)
    net: dict[date, int] = {}
    for row in rows:
        net[row["earned_on"]] = net.get(row["earned_on"], 0) + row["points"]
    assert {day: points for day, points in net.items() if points} == expected(story)
    reversed_once = [row["reverses"] for row in rows if row["reverses"]]
    assert len(reversed_once) == len(set(reversed_once))


def test_the_net_points_are_those_of_the_final_scores(cluster, issuer):
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        h = runner.run(stack.enter_async_context(harness(service, cluster, issuer)))
        try:
            runner.run(h.apply_directory("acme", of_tenant=tenant("acme")))
            blueprint = BlueprintPublished(version=1, sections={"gamification": {"rules": [RULE]}})
            runner.run(h.deliver(blueprint, tenant="acme"))

            @settings(max_examples=20, deadline=None, database=None)
            @given(st.lists(words, min_size=10, max_size=24))
            def check(story):
                runner.run(play(h, said_again(story)))

            check()
        finally:
            runner.run(stack.aclose())


def test_the_examples_do_earn_points():
    steady = [(day, 60, 1, 10, "live", False) for day in DAYS[:4]]
    assert expected([*steady, (DAYS[4], 30, 1, 10, "live", False)]) == {DAYS[4]: 50}
    assert expected([*steady, (DAYS[4], 30, 1, 10, "history", False)]) == {}
