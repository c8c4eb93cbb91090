"""Whatever comes, in whatever order and batches: values, published events and bands equal a plain recomputation, however
far a batch looks back."""

import asyncio
from collections import defaultdict
from datetime import date
from fractions import Fraction
from typing import Any, cast
from uuid import UUID

import pytest
from contracts.legs import LegRecorded
from contracts.scores import BandCorrected, BandEntered, BandLeft, ScoreChanged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kpi_engine.actions import bands, publishing
from kpi_engine.service import service
from kpi_engine.store import models, partials
from testkit import parse_instant, person_id
from testkit.harness import harness

HEAD = "title: {{en: X}}\ndirection: lower_is_better\nsource: legs\nkpi: {kpi}\n"
BANDS = "bands: {{window: {window}, enter: {{x: 2, of: 3}}, leave: {{x: 2, of: 3}}, edges: [{{name: good}}, {{name: coach, from: 50}}]}}\n"
MODELS = {
    "silence": "unit: percent\nmin_sample: 1\nwhere: conversation_ms > 0\nvalue: 100 * sum(silence()) / sum(conversation_ms)\n" + BANDS.format(window="workday"),
    "longest": "unit: ms\nvalue: max(talk_ms)\n",
    "spread": "unit: count\nwhere: answered\nvalue: count(talk_ms) - count(*)\n",
    "weekly": "unit: percent\nmin_sample: 1\nvalue: 100 * sum(silence()) / sum(conversation_ms)\n" + BANDS.format(window="week"),
    "recent": "unit: percent\nmin_sample: 2\nvalue: 100 * sum(silence()) / sum(conversation_ms)\n" + BANDS.format(window="last 3 legs"),
}  # fmt: skip
DAYS = ["2026-03-02", "2026-03-03", "2026-03-08", "2026-03-09", "2026-03-10", "2026-03-16"]
AGENTS = ["ada", "ada", "ada", "bob", None]

# Few different values, most of them usable: bands need several windows of one agent that differ.
amount = st.sampled_from([10, 90, 10, 90, 50, None])
content = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(AGENTS),
        "day": st.sampled_from(DAYS),
        "void": st.sampled_from([False, False, False, True]),
        "talk_ms": amount,
        "silence_vendor_ms": amount,
        "conversation_ms": st.sampled_from([100, 100, 100, 100, 0, None]),
        "answered": st.none() | st.booleans(),
    }
)
keys = st.tuples(st.integers(0, 11), st.integers(1, 2), st.integers(1, 3))  # interaction, leg, version
Facts = dict[tuple[int, int], tuple[int, dict[str, Any]]]


@st.composite
def deliveries(draw) -> list[list[tuple[tuple[int, int, int], dict[str, Any]]]]:
    """Batches of versions: one content a version, any order, any repetition."""
    contents = draw(st.dictionaries(keys, content, min_size=10, max_size=40))
    order = draw(st.lists(st.sampled_from(sorted(contents)), min_size=10, max_size=40))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=4)))
    batches = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return [[(key, contents[key]) for key in batch] for batch in batches if batch]


# The oracle.


def ratio(legs: list[dict[str, Any]]) -> Fraction | None:
    above = [leg["silence_vendor_ms"] for leg in legs if leg["silence_vendor_ms"] is not None]
    below = [leg["conversation_ms"] for leg in legs if leg["conversation_ms"] is not None]
    return Fraction(100 * sum(above), sum(below)) if above and sum(below) else None


def longest(legs: list[dict[str, Any]]) -> Fraction | None:
    return max((Fraction(leg["talk_ms"]) for leg in legs if leg["talk_ms"] is not None), default=None)


def spread(legs: list[dict[str, Any]]) -> Fraction:
    return Fraction(-sum(leg["talk_ms"] is None for leg in legs))


POPULATION = {"silence": lambda leg: (leg["conversation_ms"] or 0) > 0, "spread": lambda leg: leg["answered"] is True}
VALUE = {"silence": ratio, "longest": longest, "spread": spread, "weekly": ratio, "recent": ratio}


def legs_of(facts: Facts, kpi: str, agent: str) -> list[dict[str, Any]]:
    """The agent's legs that count, in the order of the day, then of arrival keys."""
    counts = POPULATION.get(kpi, lambda leg: True)
    found = [leg for _, (_, leg) in sorted(facts.items()) if leg["agent"] == agent and not leg["void"] and counts(leg)]
    return sorted(found, key=lambda leg: leg["day"])


def day_values(facts: Facts) -> dict[tuple[str, str, str], tuple[int, Fraction | None]]:
    found = {}
    for kpi, value in VALUE.items():
        for agent in ("ada", "bob"):
            days = defaultdict(list)
            for leg in legs_of(facts, kpi, agent):
                days[leg["day"]].append(leg)
            found |= {(kpi, agent, day): (len(legs), value(legs)) for day, legs in days.items()}
    return found


def windows(facts: Facts, kpi: str, agent: str) -> list[tuple[str, list[dict[str, Any]]]]:
    legs = legs_of(facts, kpi, agent)
    if kpi == "recent":
        ends = {leg["day"]: number for number, leg in enumerate(legs, 1)}
        return [(day, legs[max(0, end - 3) : end]) for day, end in ends.items()]
    grouped = defaultdict(list)
    for leg in legs:
        year, week, _ = date.fromisoformat(leg["day"]).isocalendar()
        grouped[f"{year}-W{week:02}" if kpi == "weekly" else leg["day"]].append(leg)
    return sorted(grouped.items())


def stays(facts: Facts) -> set[tuple[str, str, str, str, str | None]]:
    found = set()
    for kpi, least in (("silence", 1), ("weekly", 1), ("recent", 2)):
        for agent in ("ada", "bob"):
            names: list[str] = []
            now = None  # band, window of entering, how many windows had been seen then
            for window, legs in windows(facts, kpi, agent):
                value = ratio(legs)
                if len(legs) < least or value is None:
                    continue
                name = "coach" if value >= 50 else "good"
                names.append(name)
                if now and [n != now[0] for n in names[now[2] :][-3:]].count(True) >= 2:
                    found.add((kpi, agent, now[0], now[1], window))
                    now = None
                if not now and names[-3:].count(name) >= 2:
                    now = (name, window, len(names))
            if now:
                found.add((kpi, agent, now[0], now[1], None))
    return found


# What the service says.


async def read_published_state(h, tenant: str) -> tuple[dict[Any, Any], set[Any]]:
    """What a reader of all events believes: newest scores, standing stays."""
    agents = {person_id(name): name for name in ("ada", "bob")}
    scores: dict[Any, Any] = {}
    standing: dict[Any, list[Any]] = {}
    for attributes, body in await h.read_outbox():
        if attributes.tenant != tenant:
            continue
        if isinstance(body, ScoreChanged):
            for kpi, score in body.scores.items():
                scores[kpi, agents[body.agent_id], str(body.workday)] = (score.sample, score.value)
        elif isinstance(body, BandEntered):
            assert body.band_event_id not in standing
            standing[body.band_event_id] = [body.kpi, agents[body.agent_id], body.band, body.at_window, None]
        elif isinstance(body, BandLeft):
            assert standing[body.band_event_id][4] is None
            standing[body.band_event_id][4] = body.at_window
        elif isinstance(body, BandCorrected) and body.retracts == "left":
            standing[body.band_event_id][4] = None
        elif isinstance(body, BandCorrected):
            standing[body.band_event_id] = []
    return scores, {tuple(stay) for stay in standing.values() if stay}


def test_the_stream_equals_a_recomputation_after_every_prefix(cluster, issuer):  # noqa: C901 - functions within a property
    with asyncio.Runner() as runner:
        context = harness(service, cluster, issuer)
        h = runner.run(context.__aenter__())
        tenants = iter(range(10**6))

        @settings(max_examples=30, deadline=None, suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)))
        @given(deliveries(), st.sampled_from([0, 0, bands._EXTRA_WINDOWS]))
        def check(batches, margin):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(bands, "_EXTRA_WINDOWS", margin)
                runner.run(run(f"t{next(tenants)}", batches))

        async def run(tenant: str, batches) -> None:
            async with h.context.sessions.begin([tenant], now=h.now) as session:
                for kpi, text in MODELS.items():
                    await publishing.save_model(session, kpi, HEAD.format(kpi=kpi) + text, None)
            await h.clear_outbox()
            facts: Facts = {}
            for batch in batches:
                await h.deliver(*(leg(*each) for each in batch), tenant=tenant)
                for (interaction, number, version), body in batch:
                    if facts.get((interaction, number), (0,))[0] < version:
                        facts[interaction, number] = (version, body)
                await compare(tenant, facts)

        async def compare(tenant: str, facts: Facts) -> None:
            expected = day_values(facts)
            scores, standing = await read_published_state(h, tenant)
            async with h.context.sessions.begin([tenant], now=h.now) as session:
                for kpi, published in (await models.load_catalogue(session)).models.items():
                    assert await partials.find_differences(session, published) == []
                    everything = [partials.SeriesQuery(kpi, person_id(agent), date.min, 0) for agent in ("ada", "bob")]
                    series = await partials.load_series(session, tenant, everything)
                    for agent in ("ada", "bob"):
                        rows = {
                            str(day): published.model.plan.compute_value(components, sample)
                            for day, sample, components in series.get((kpi, person_id(agent)), ([], True))[0]
                        }
                        own = {day: want for (k, a, day), want in expected.items() if (k, a) == (kpi, agent)}
                        assert {day: (row.sample, row.value) for day, row in rows.items()} == own
                        said = {d: s for (k, a, d), s in scores.items() if (k, a) == (kpi, agent) and s[0]}
                        assert said == {day: (row.sample, row.text) for day, row in rows.items()}
            assert standing == stays(facts)

        def leg(key: tuple[int, int, int], body: dict[str, Any]) -> LegRecorded:
            interaction, number, version = key
            measures = {name: value for name, value in body.items() if name not in ("agent", "day")}
            return LegRecorded(
                interaction_id=UUID(f"00000000-0000-7000-8000-{interaction:012}"), leg=number, version=version, source="s",
                vendor="v", external_id=str(key), channel="voice", started_at=parse_instant(f"{body['day']}T08:00Z"),
                workday=body["day"], agent_id=body["agent"] and person_id(body["agent"]), **measures,
            )  # fmt: skip

        try:
            check()
        finally:
            runner.run(context.__aexit__(None, None, None))
