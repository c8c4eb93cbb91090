"""The event door: versions, retract and add, published events; two writers at once."""

import asyncio
import random
from datetime import timedelta
from typing import Any

from contracts.legs import AgentStateChanged
from contracts.scores import BandCorrected, BandEntered, BandLeft, ScoreChanged
from contracts.submissions import SubmissionScored
from kpi_engine.consumers import apply_facts
from kpi_engine.store import models, partials
from servicekit.event_door import parse_message
from sqlalchemy import event as engine_event
from testkit import parse_instant, person, person_id

TAKEN = """
kpi: longest
title: {en: Longest call that was taken}
unit: seconds
direction: lower_is_better
source: legs
where: relation is null or relation <> 'consult'
value: max(talk_ms) / 1000
min_sample: 1
"""


async def score(h, agent: str, day: str, kpi: str = "silence") -> Any:
    """The newest score published of it, or None."""
    found = [e for e in await h.read_events(ScoreChanged) if e.agent_id == person_id(agent) and str(e.workday) == day]
    return next((e.scores[kpi] for e in reversed(found) if kpi in e.scores), None)


async def differences(h, tenant: str = "t1") -> list:
    async with h.context.sessions.begin([tenant], now=h.now) as session:
        published = (await models.load_catalogue(session)).models.values()
        return [row for each in published for row in await partials.find_differences(session, each)]


async def test_a_value_is_computed_from_facts_and_published_once_a_batch(kpi, leg):
    await kpi.deliver(leg("c1", "bob", "2026-03-02", silent=40), leg("c2", "bob", "2026-03-02", silent=91), tenant="t1")
    (scored,) = await kpi.read_events(ScoreChanged)
    assert set(scored.scores) == {"silence", "longest"}
    assert scored.scores["silence"].model_dump() == {
        "value": "65.5", "numerator": "13100000", "denominator": "200000", "sample": 2, "reason": None,
        "model_version": 1, "direction": "lower_is_better",
    }  # fmt: skip
    assert scored.scores["longest"].value == "100"


async def test_the_same_and_older_versions_change_nothing_but_are_stored(kpi, leg):
    await kpi.deliver(leg("c1", "bob", "2026-03-02", silent=40, version=3), tenant="t1")
    await kpi.clear_outbox()
    await kpi.deliver(leg("c1", "bob", "2026-03-02", silent=40, version=3), tenant="t1")
    await kpi.deliver(leg("c1", "ada", "2026-03-01", silent=99, version=2), tenant="t1")
    assert await kpi.read_outbox() == []
    assert [r["version"] for r in await kpi.rows("t1", "SELECT version FROM fact")] == [3]
    assert [r["version"] for r in await kpi.rows("t1", "SELECT version FROM fact_version")] == [2]


async def test_a_correction_moves_a_call_to_another_agent_and_day(kpi, leg):
    await kpi.deliver(
        leg("c1", "bob", "2026-03-02", talk_ms=9000), leg("c2", "bob", "2026-03-02", talk_ms=5000), tenant="t1"
    )
    await kpi.deliver(leg("c1", "cid", "2026-03-03", version=2, talk_ms=7000), tenant="t1")
    assert (await score(kpi, "bob", "2026-03-02", "longest")).value == "5"
    assert (await score(kpi, "cid", "2026-03-03", "longest")).value == "7"
    assert (await score(kpi, "bob", "2026-03-02")).sample == 1
    assert await differences(kpi) == []


async def test_a_consulted_leg_can_be_left_out(kpi, leg):
    model = await kpi.client_as("adm", "t1").put(
        "/kpis/longest", content=TAKEN, headers={"content-type": "application/yaml"}
    )
    assert model.status_code == 200, model.text
    await kpi.clear_outbox()
    consulted = leg("c2", "bob", "2026-03-02", talk_ms=9000, relation="consult")
    await kpi.deliver(leg("c1", "bob", "2026-03-02", talk_ms=5000), consulted, tenant="t1")
    found = await score(kpi, "bob", "2026-03-02", "longest")
    assert (found.value, found.sample) == ("5", 1)


async def test_a_void_takes_back_a_leg_and_a_later_version_restores_it(kpi, leg):
    await kpi.deliver(leg("c1", "bob", "2026-03-02"), tenant="t1")
    await kpi.deliver(leg("c1", "bob", "2026-03-02", version=2, void=True), tenant="t1")
    gone = await score(kpi, "bob", "2026-03-02")
    assert (gone.value, gone.sample, gone.reason) == (None, 0, "no facts in this population")
    await kpi.deliver(leg("c1", "bob", "2026-03-02", version=1), tenant="t1")
    assert (await score(kpi, "bob", "2026-03-02")).sample == 0
    await kpi.deliver(leg("c1", "bob", "2026-03-02", version=3), tenant="t1")
    assert (await score(kpi, "bob", "2026-03-02")).value == "50"
    assert await differences(kpi) == []


async def test_a_change_that_changes_no_value_is_not_published(kpi, leg):
    await kpi.deliver(leg("c1", "bob", "2026-03-02"), tenant="t1")
    await kpi.clear_outbox()
    await kpi.deliver(leg("c1", "bob", "2026-03-02", version=2, reason="tariff"), tenant="t1")
    assert await kpi.read_events(ScoreChanged) == []


async def test_bands_are_entered_left_and_corrected(kpi, leg):
    def day(n: int, silent: int, version: int = 1):
        return [leg(f"c{n}{i}", "bob", f"2026-03-0{n}", silent=silent, version=version) for i in (1, 2)]

    await kpi.deliver(*day(2, 70), *day(3, 65), tenant="t1")
    (entered,) = await kpi.read_events(BandEntered)
    assert (entered.band, entered.rank, entered.at_window, entered.from_band) == ("coach", 1, "2026-03-03", None)
    assert [(w.window, w.value, w.sample, w.band) for w in entered.evidence] == [
        ("2026-03-02", "70", 2, "coach"), ("2026-03-03", "65", 2, "coach"),
    ]  # fmt: skip
    await kpi.deliver(*day(4, 20), *day(5, 20), tenant="t1")
    (left,) = await kpi.read_events(BandLeft)
    assert (left.band_event_id, left.at_window, left.to_band, left.to_rank) == (
        entered.band_event_id,
        "2026-03-05",
        "good",
        0,
    )

    await kpi.clear_outbox()
    await kpi.deliver(*day(3, 30, version=2), tenant="t1")  # the third of March was good after all
    corrected = await kpi.read_events(BandCorrected)
    assert [(c.band, c.retracts, c.at_window) for c in corrected] == [
        ("good", "entered", "2026-03-05"),
        ("coach", "entered", "2026-03-03"),
    ]
    assert corrected[1].band_event_id == entered.band_event_id
    assert "2026-03-03 now reads 30 (good)" in corrected[1].reason
    (again,) = await kpi.read_events(BandEntered)
    assert (again.band, again.at_window) == ("good", "2026-03-04")

    await kpi.clear_outbox()
    await kpi.deliver(*day(3, 65, version=3), tenant="t1")  # and was not
    ids = {e.band_event_id for e in await kpi.read_events(BandEntered) if e.band == "coach"}
    assert len(ids) == 1
    assert entered.band_event_id not in ids


async def test_a_newcomer_is_judged_by_another_target_and_hears_when_that_changes(kpi, leg):
    from testkit import person

    calls = [leg(f"c{n}{i}", "ada", f"2026-03-0{n}", silent=70) for n in (2, 3) for i in (1, 2)]
    await kpi.deliver(*calls, tenant="t1")
    assert [e.band for e in await kpi.read_events(BandEntered)] == ["good"]
    await kpi.clear_outbox()
    await kpi.apply_directory("t1", people=[person("ada", team="a", attributes={"hire_date": "2019-02-01"})])
    assert [e.band for e in await kpi.read_events(BandEntered)] == ["coach"]
    (corrected,) = await kpi.read_events(BandCorrected)
    assert (corrected.band, corrected.retracts) == ("good", "entered")
    assert corrected.reason.startswith("another target applies")


async def test_a_team_that_moves_falls_under_the_targets_of_its_new_place(kpi, leg, silence):
    from kpi_engine.actions import publishing
    from testkit import org_unit

    of_site = silence.replace("tenure_days < 90", "org_unit = 'site'")
    async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
        await publishing.save_model(session, "silence", of_site, None)
    calls = [leg(f"c{n}{i}", "bob", f"2026-03-0{n}", silent=70) for n in (2, 3) for i in (1, 2)]
    await kpi.deliver(*calls, tenant="t1")
    assert [e.band for e in await kpi.read_events(BandEntered)] == ["good"]
    await kpi.clear_outbox()
    await kpi.apply_directory("t1", org_units=[org_unit("elsewhere", kind="site"), org_unit("a", parent="elsewhere")])
    assert [e.band for e in await kpi.read_events(BandEntered)] == ["coach"]
    assert [e.band for e in await kpi.read_events(BandCorrected)] == ["good"]


async def test_past_stays_of_another_target_are_history(kpi, leg):
    calls = [leg(f"c{n}{i}", "ada", f"2026-03-0{n}", silent=70 if n < 4 else 20) for n in (2, 3, 4, 5) for i in (1, 2)]
    await kpi.deliver(*calls, tenant="t1")
    await kpi.clear_outbox()
    await kpi.apply_directory("t1", people=[person("ada", team="a", attributes={"hire_date": "2019-02-01"})])
    events = [(body.type, body.band, body.mode) for _, body in await kpi.read_outbox()]
    assert events == [
        ("band.corrected", "good", "live"), ("band.entered", "coach", "history"), ("band.stayed", "coach", "history"),
        ("band.left", "coach", "history"), ("band.entered", "good", "live"),
    ]  # fmt: skip


async def test_history_counts_and_says_that_it_is_history(kpi, leg):
    calls = [leg(f"c{n}{i}", "bob", f"2026-03-0{n}", silent=70, mode="history") for n in (2, 3) for i in (1, 2)]
    await kpi.deliver(*calls, tenant="t1")
    events = [body for _, body in await kpi.read_outbox()]
    assert {type(body) for body in events} == {ScoreChanged, BandEntered}
    assert {body.mode for body in events} == {"history"}


async def test_states_and_submissions_are_facts_too(kpi):
    from kpi_engine.actions import publishing

    async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
        await publishing.save_model(
            session, "available",
            "{kpi: available, title: {en: A}, unit: minutes, direction: higher_is_better, source: agent_states, "
            "where: state = 'Available', value: sum(duration_ms) / 60000}", None,
        )  # fmt: skip
        await publishing.save_model(
            session, "quality",
            "{kpi: quality, title: {en: Q}, unit: score, direction: higher_is_better, source: submissions, "
            "where: form = 'call-review' and attributes.greeting = 'yes', value: avg(qa_score) / 100}", None,
        )  # fmt: skip
    state = {
        "agent_id": person_id("bob"), "state_id": person_id("s"), "version": 1, "source": "connect", "state": "Available",
        "started_at": parse_instant("2026-03-02T08:00Z"), "workday": "2026-03-02", "duration_ms": 90_000,
    }  # fmt: skip
    scored = SubmissionScored.example | {"agent_id": person_id("bob"), "workday": "2026-03-02", "interaction_id": None}
    await kpi.deliver(AgentStateChanged(**state), SubmissionScored(**scored), tenant="t1")
    assert (await score(kpi, "bob", "2026-03-02", "available")).value == "1.5"
    assert (await score(kpi, "bob", "2026-03-02", "quality")).value == "87.5"


async def test_a_call_nobody_took_counts_for_the_tenant_and_for_no_agent(kpi, leg):
    await kpi.deliver(leg("c1", None, "2026-03-02"), tenant="t1")
    assert await kpi.read_outbox() == []
    answer = (await kpi.client_as("adm", "t1").get("/kpis/silence/values?from=2026-03-02&to=2026-03-02")).json()
    assert [(item["value"], item["sample"]) for item in answer["items"]] == [("50", 1)]


async def test_two_tenants_in_one_batch_with_the_same_ids_stay_apart(kpi, leg, longest):
    from kpi_engine.actions import publishing

    await kpi.apply_directory("t2")
    async with kpi.context.sessions.begin(["t2"], now=kpi.now) as session:
        await publishing.save_model(session, "longest", longest, None)
    at = {n: kpi.now + timedelta(days=100 * n) for n in (1, 2)}  # a simulated tenant is far ahead
    messages = [kpi.message(leg("c1", "bob", "2026-03-02", talk_ms=n * 1000), tenant=f"t{n}", at=at[n]) for n in (1, 2)]
    received = [parse_message(message) for message in messages]
    async with kpi.context.sessions.begin(["t1", "t2"], now=kpi.now) as session:
        await kpi.running.doors["legs"].handle(session, received)
    for n in (1, 2):
        (scored,) = await kpi.read_events(ScoreChanged, tenant=f"t{n}")
        assert scored.scores["longest"].value == str(n)
        assert await kpi.rows(f"t{n}", "SELECT talk_ms, known_at FROM fact") == [
            {"talk_ms": n * 1000, "known_at": at[n]}
        ]
        scored = [
            each for each, body in await kpi.read_outbox() if each.tenant == f"t{n}" and isinstance(body, ScoreChanged)
        ]
        assert [each.time for each in scored] == [at[n]]


async def test_two_writers_on_the_same_legs_and_agents_lose_nothing(kpi, leg):
    rng = random.Random(7)
    agents = ["ada", "bob", "cid"]
    versions = [
        leg(f"c{n}", rng.choice(agents), f"2026-03-0{rng.randint(2, 4)}", silent=rng.randint(0, 99), version=v, talk_ms=rng.randint(1, 99))
        for n in range(30)
        for v in (1, 2, 3)
    ]  # fmt: skip

    async def writer(seed: int) -> None:
        mine = versions[:]
        random.Random(seed).shuffle(mine)
        for start in range(0, len(mine), 15):
            events = [parse_message(kpi.message(body, tenant="t1")) for body in mine[start : start + 15]]
            async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
                await apply_facts(
                    session, [(e.attributes, e.key, e.raw) for e in events if e.raw is not None], mode="live"
                )

    await asyncio.gather(*(writer(seed) for seed in range(4)))
    assert {r["version"] for r in await kpi.rows("t1", "SELECT version FROM fact")} == {3}
    assert await differences(kpi) == []
    for agent in agents:
        for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
            newest = [
                v for v in versions if v.version == 3 and v.agent_id == person_id(agent) and str(v.workday) == day
            ]
            found = await score(kpi, agent, day)
            assert (found.sample if found else 0) == len(newest)
            if newest:
                assert found.numerator == str(100 * sum(v.silence_vendor_ms for v in newest))


async def test_a_broken_event_says_so(kpi, leg):
    import msgspec
    import pytest

    message = kpi.message(leg("c1", "bob", "2026-03-02"), tenant="t1")
    broken = parse_message(message)
    broken.raw = message.value.replace(b'"version":1', b'"version":"one"')
    with pytest.raises(msgspec.ValidationError, match="version"):
        async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
            await kpi.running.doors["legs"].handle(session, [broken])


async def test_a_value_that_moves_within_its_band_reads_no_stays(kpi, leg):
    calls = [leg(f"c-{n}", "bob", f"2026-03-0{day}", silent=80) for day in (2, 3) for n in (2 * day, 2 * day + 1)]
    await kpi.deliver(*calls, tenant="t1")
    assert [each.band for each in await kpi.read_events(BandEntered)] == ["coach"]
    engine, reads_stays = kpi.context.sessions.engine.sync_engine, []

    def note(_connection, _cursor, statement, *_):
        reads_stays.append("band_stay" in statement)

    engine_event.listen(engine, "before_cursor_execute", note)
    await kpi.deliver(leg("more", "bob", "2026-03-02", silent=90), tenant="t1")
    assert reads_stays
    assert not any(reads_stays)
    await kpi.deliver(*(leg(name, "bob", "2026-03-02", silent=0) for name in ("less", "least")), tenant="t1")
    assert any(reads_stays)
    engine_event.remove(engine, "before_cursor_execute", note)
