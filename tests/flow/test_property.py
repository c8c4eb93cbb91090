"""Whatever comes, in whatever order: the stream's values are those of a recomputation and of a plain reading.

Random call centres of contacts are written in the vendor's format, split into files and sent through ingest's HTTP
door; the legs that ingest says go through kpi-engine's event door, in random batches, some of them twice, in any order
that keeps each key's own. After every step the values by agent and workday, the bands, and what was told of both are
compared with an oracle that knows the records and nothing else, exactly.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from contracts.blueprints import BlueprintPublished
from contracts.legs import LegRecorded
from contracts.scores import BandCorrected, BandEntered, BandLeft, ScoreChanged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest.service import service as ingest_service
from kpi_engine.service import service as kpi_service
from testkit import Harness, org_unit, person, person_id
from testkit import tenant as tenant_of
from testkit.harness import harness
from testkit.postgres import Cluster
from testkit.tokens import TestIssuer

BERLIN = ZoneInfo("Europe/Berlin")
SOURCE = "connect"
KNOWN = ("ada", "ben")
ALL = "all together, also what nobody answered"
LATE = "eve"  # the directory learns of her in the middle, or never
WHO = {person_id(who): who for who in (*KNOWN, LATE)}
EXAMPLES = 40

# The call centre of contacts: what the vendor writes.

Record = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def contact_record(
    number: int,
    leg: str,
    agent: str | None,
    day: int,
    hour: int,
    talk: int,
    hold: int,
    acw: int | None,
    ended: bool,
    initial: bool,
    version: int,
) -> Record:
    """A contact `c<number>` (leg "a") or what it was transferred to (leg "b"). `version` is when it was written last."""
    began = datetime(2026, 3, 2 + day, hour, 50 + (leg == "b"), tzinfo=UTC)
    answered = began + timedelta(seconds=20)
    record: Record = {
        "AWSContactTraceRecordFormatVersion": "2017-03-10",
        "ContactId": f"c{number}{leg}",
        "InitialContactId": f"c{number}a" if leg == "b" and initial else None,
        "PreviousContactId": f"c{number}a" if leg == "b" else None,
        "Channel": "VOICE",
        "InitiationMethod": "TRANSFER" if leg == "b" else "INBOUND",
        "InitiationTimestamp": stamp(began),
        "DisconnectTimestamp": stamp(answered + timedelta(seconds=talk + hold)) if ended else None,
        "LastUpdateTimestamp": stamp(began + timedelta(days=7, hours=version)),
        "Queue": {"Name": "Billing", "Duration": 20},
        "Agent": None,
    }
    if agent:
        record["Agent"] = {
            "Username": agent,
            "ConnectedToAgentTimestamp": stamp(answered),
            "AgentInteractionDuration": talk,
            "CustomerHoldDuration": hold,
            "AfterContactWorkDuration": acw,
        }
    return record


def analysis_record(number: int, leg: str, gaps: list[tuple[int, int]], rest: int) -> Record:
    """The analysis of a conversation that is silent for `gaps` (seconds of speech before, of silence) and ends with
    `rest` seconds of speech."""
    instances, at = [], 0
    for speech, silence in gaps:
        begin, at = at + speech * 1000, at + (speech + silence) * 1000
        instances.append({"BeginOffsetMillis": begin, "DurationMillis": silence * 1000, "EndOffsetMillis": at})
    return {
        "JobStatus": "COMPLETED",
        "CustomerMetadata": {"ContactId": f"c{number}{leg}"},
        "ConversationCharacteristics": {
            "TotalConversationDurationMillis": at + rest * 1000,
            "NonTalkTime": {"TotalTimeMillis": sum(silence * 1000 for _, silence in gaps), "Instances": instances},
        },
    }


numbers, legs = st.integers(0, 4), st.sampled_from("aaab")
contacts = st.builds(
    contact_record, numbers, legs, st.sampled_from([*KNOWN, *KNOWN, LATE, None]), st.integers(0, 4),
    st.sampled_from([9, 23]), st.integers(1, 90), st.integers(0, 9), st.none() | st.integers(0, 30),
    st.sampled_from([True, True, True, False]), st.sampled_from([True, True, True, False]), st.integers(0, 3),
)  # fmt: skip
gaps = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), max_size=3)
analyses = st.builds(analysis_record, numbers, legs, gaps, st.integers(0, 30))


@dataclass
class Story:
    """What happens, in order: (`file`, indices of records, mode), (`again`, n), (`undo`, n), (`learn`,). `seed` is of
    the batches in which events travel."""

    records: list[Record]
    steps: list[tuple[Any, ...]]
    seed: int


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Files draw from one pool of records, so they repeat, reorder and come late by themselves."""
    pool = draw(st.lists(st.one_of(contacts, contacts, analyses), min_size=4, max_size=16))
    file = st.tuples(
        st.just("file"),
        st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=10),
        st.sampled_from(["live", "live", "history"]),
    )
    other = st.tuples(st.sampled_from(["undo", "again"]), st.integers(0, 9)) | st.just(("learn",))
    return Story(pool, draw(st.lists(st.one_of(file, file, file, other), min_size=2, max_size=7)), draw(st.integers(0)))


# The oracle: the records known so far, and nothing else.


@dataclass
class Oracle:
    """`backed`: every record that is known, in the order in which they came, with the files that say it."""

    backed: dict[str, set[str]] = field(default_factory=dict)
    agents: set[str] = field(default_factory=lambda: set(KNOWN))

    def send(self, file: str, records: Iterable[Record]) -> None:
        for record in records:
            self.backed.setdefault(json.dumps(record), set()).add(file)

    def undo(self, file: str) -> None:
        for files in self.backed.values():
            files.discard(file)
        self.backed = {text: files for text, files in self.backed.items() if files}

    def calls(self) -> Iterator[dict[str, Any]]:
        """The legs that count: the newest record of each contact, with the newest analysis beside it."""
        newest: dict[str, Record] = {}
        spoken: dict[str, Record] = {}
        for record in map(json.loads, self.backed):
            if "CustomerMetadata" in record:
                spoken[record["CustomerMetadata"]["ContactId"]] = record["ConversationCharacteristics"]
                continue
            known = newest.get(record["ContactId"])
            if known is None or record["LastUpdateTimestamp"] >= known["LastUpdateTimestamp"]:
                newest[record["ContactId"]] = record
        final = {name: record for name, record in newest.items() if record["DisconnectTimestamp"]}
        of_root: dict[str, list[str]] = {}
        for name, record in final.items():
            of_root.setdefault(record["InitialContactId"] or name, []).append(name)
        for names in of_root.values():
            names.sort(key=lambda name: (final[name]["InitiationTimestamp"], name))
            transferred = {final[name]["PreviousContactId"] for name in names}
            for name in names:
                record, agent = final[name], final[name]["Agent"] or {}
                who = agent.get("Username")
                times = [
                    agent.get(f"{part}Duration") for part in ("AgentInteraction", "CustomerHold", "AfterContactWork")
                ]
                talk, hold, _ = times
                analysis = spoken.get(name)
                began = datetime.fromisoformat(record["InitiationTimestamp"]).astimezone(BERLIN)
                conversation = None if talk is None or hold is None else (talk + hold) * 1000
                yield {
                    "agent": who if who in self.agents else None,  # counts where no agent is needed, until it is known
                    "workday": began.date().isoformat(),
                    "answered": who is not None,
                    "first": name == names[0],
                    "transferred": name in transferred,
                    "talk": None if talk is None else talk * 1000,
                    "handle": None if None in times else sum(filter(None, times)) * 1000,
                    "conversation": analysis["TotalConversationDurationMillis"] if analysis else conversation,
                    "silence": analysis["NonTalkTime"]["TotalTimeMillis"] if analysis else None,
                    "gaps": [each["DurationMillis"] for each in analysis["NonTalkTime"]["Instances"]]
                    if analysis
                    else None,
                }  # fmt: skip


def total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def over(numerator: Any, denominator: Any) -> Fraction | None:
    return None if numerator is None or not denominator else Fraction(numerator) / denominator


Calls = list[dict[str, Any]]
Formula = Callable[[Calls], Fraction | None]


def conversed(call: dict[str, Any]) -> bool:
    return call["conversation"] is not None and call["conversation"] > 0


def silence_pct(calls: Calls) -> Fraction | None:
    silence = total(call["silence"] for call in calls)
    return over(None if silence is None else 100 * silence, sum(call["conversation"] for call in calls))


def long_gaps_pct(calls: Calls) -> Fraction | None:
    silence = total(
        None if call["gaps"] is None else sum(gap for gap in call["gaps"] if gap >= 20_000) for call in calls
    )
    return over(None if silence is None else 100 * silence, sum(call["conversation"] for call in calls))


def aht(calls: Calls) -> Fraction | None:
    handle = total(call["handle"] for call in calls)
    return over(None if handle is None else Fraction(handle, 1000), len(calls))


def spread(calls: Calls) -> Fraction | None:
    talk = [call["talk"] for call in calls if call["talk"] is not None]
    return Fraction(max(talk) - min(talk), 1000) if talk else None


def mean_talk(calls: Calls) -> Fraction | None:
    talk = [call["talk"] for call in calls if call["talk"] is not None]
    return over(Fraction(sum(talk), 1000), len(talk)) if talk else None


def transfers_pct(calls: Calls) -> Fraction | None:
    return over(100 * sum(call["transferred"] for call in calls), len(calls))


# Each KPI as kpi-engine is told it, and in plain Python: which calls, and what of them.
KPIS: dict[str, tuple[dict[str, str], Callable[[dict[str, Any]], Any], Formula]] = {
    "silence_pct": (
        {
            "unit": "percent",
            "where": "channel = 'voice' and conversation_ms > 0",
            "value": "100 * sum(silence()) / sum(conversation_ms)",
        },
        conversed,
        silence_pct,
    ),
    "long_gaps_pct": (
        {
            "unit": "percent",
            "where": "conversation_ms > 0",
            "value": "100 * sum(silence(min_gap_ms => 20000)) / sum(conversation_ms)",
        },
        conversed,
        long_gaps_pct,
    ),
    "aht": (
        {"unit": "seconds", "where": "answered", "value": "sum(handle_ms) / 1000 / count(*)"},
        lambda call: call["answered"],
        aht,
    ),
    "spread": ({"unit": "seconds", "value": "(max(talk_ms) - min(talk_ms)) / 1000"}, lambda call: True, spread),
    "mean_talk": ({"unit": "seconds", "value": "avg(talk_ms) / 1000"}, lambda call: True, mean_talk),
    "transfers_pct": (
        {
            "unit": "percent",
            "where": "first_leg",
            "value": "100 * sum(case when transferred then 1 else 0 end) / count(*)",
        },
        lambda call: call["first"],
        transfers_pct,
    ),
}
BANDED, MIN_SAMPLE, ENTER, LEAVE = "silence_pct", 1, (1, 2), (2, 3)
EDGES = [("good", 0), ("watch", 30), ("coach", 60)]
SECTION = {
    "kpis": [
        {"kpi": kpi, "title": {"en": kpi}, "direction": "lower_is_better", "source": "legs", **model}
        | (
            {
                "min_sample": MIN_SAMPLE,
                "bands": {
                    "enter": {"x": ENTER[0], "of": ENTER[1]},
                    "leave": {"x": LEAVE[0], "of": LEAVE[1]},
                    "edges": [{"name": name, "from": start} for name, start in EDGES],
                },
            }
            if kpi == BANDED
            else {}
        )
        for kpi, (model, _, _) in KPIS.items()
    ]
}

Place = tuple[str, str, str]  # KPI, agent or ALL, workday


def expected_values(oracle: Oracle) -> dict[Place, tuple[Fraction | None, int]]:
    """Value and sample of every KPI and workday that has calls which count, by agent and of all together."""
    calls = list(oracle.calls())
    found: dict[Place, Calls] = {}
    for kpi, (_, counts, _) in KPIS.items():
        for call in filter(counts, calls):
            for who in filter(None, (call["agent"], ALL)):
                found.setdefault((kpi, who, call["workday"]), []).append(call)
    return {place: (KPIS[place[0]][2](mine), len(mine)) for place, mine in found.items()}


def _band_of(value: Fraction) -> str:
    return max(EDGES, key=lambda edge: (value >= edge[1], edge[1]))[0]


def expected_stays(values: dict[Place, tuple[Fraction | None, int]]) -> set[tuple[str, str, str, str | None]]:
    """(agent, band, entered, left) of every stay."""
    stays = set()
    for agent in (*KNOWN, LATE):
        windows = [
            (day, _band_of(value))
            for (kpi, who, day), (value, sample) in sorted(values.items(), key=lambda item: item[0][2])
            if (kpi, who) == (BANDED, agent) and value is not None and sample >= MIN_SAMPLE
        ]
        band, entered, since = None, "", 0
        for n, (day, here) in enumerate(windows):
            if band is not None:
                elsewhere = [other for _, other in windows[since : n + 1][-LEAVE[1] :] if other != band]
                if here == band or len(elsewhere) < LEAVE[0]:
                    continue
                stays.add((agent, band, entered, day))
                band = None
            if [other for _, other in windows[: n + 1][-ENTER[1] :]].count(here) >= ENTER[0]:
                band, entered, since = here, day, n + 1
        if band is not None:
            stays.add((agent, band, entered, None))
    return stays


def decimal_text(value: Fraction) -> str:
    """As the API writes numbers: at most four decimals, rounded half to even."""
    scaled = round(value * 10_000)
    whole, decimals = divmod(abs(scaled), 10_000)
    return f"{'-' if scaled < 0 else ''}{whole}.{decimals:04}".rstrip("0").rstrip(".")


# The stream.


@dataclass
class Told:
    """What others believe who only hear kpi-engine's events."""

    stays: dict[UUID, list[Any]] = field(default_factory=dict)
    scores: dict[Place, dict[str, Any]] = field(default_factory=dict)

    def hear(self, event: Any) -> None:
        match event:
            case BandEntered():
                assert event.band_event_id not in self.stays
                self.stays[event.band_event_id] = [WHO[event.agent_id], event.band, event.at_window, None]
            case BandLeft():
                assert self.stays[event.band_event_id][3] is None
                self.stays[event.band_event_id][3] = event.at_window
            case BandCorrected(retracts="entered"):
                del self.stays[event.band_event_id]
            case BandCorrected():
                self.stays[event.band_event_id][3] = None
            case ScoreChanged():
                for kpi, score in event.scores.items():
                    place = (kpi, WHO[event.agent_id], event.workday.isoformat())
                    self.scores[place] = {"kpi": kpi, **score.model_dump()}
            case _:
                raise AssertionError(f"nobody expected {event!r}")


@dataclass
class Stream:
    """Ingest and kpi-engine as one tenant sees them."""

    ingest: Harness
    kpi: Harness
    tenant: str
    chance: random.Random
    told: Told = field(default_factory=Told)
    delivered: list[LegRecorded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.to_ingest = self.ingest.client_as("boss", self.tenant)
        self.to_kpi = self.kpi.client_as("boss", self.tenant)

    async def set_up(self) -> None:
        people = [person(who, team="team", external={SOURCE: who}) for who in KNOWN]
        people += [person(LATE, team="team"), person("boss", roles=["tenant_admin"])]
        for each in (self.ingest, self.kpi):
            await each.apply_directory(
                self.tenant,
                people=people,
                org_units=[org_unit("team")],
                of_tenant=tenant_of(self.tenant, time_zone=str(BERLIN)),
            )
        assert_ok(await self.to_ingest.put(f"/sources/{SOURCE}", json={"vendor": "amazon-connect"}))
        await self.kpi.deliver(BlueprintPublished(version=1, sections={"kpi-engine": SECTION}), tenant=self.tenant)
        assert {each["kpi"] for each in assert_ok(await self.to_kpi.get("/kpis"))["items"]} == set(KPIS)
        await self.kpi.clear_outbox()

    async def learn(self) -> None:
        await self.ingest.deliver(person(LATE, team="team", external={SOURCE: LATE}), tenant=self.tenant)

    async def send(self, records: list[Record], mode: str) -> dict[str, Any]:
        body = "\n".join(json.dumps(record) for record in records)
        answer = await self.to_ingest.post(f"/sources/{SOURCE}/records", content=body, params={"mode": mode})
        receipt = assert_ok(answer)
        assert receipt["rejected"] == 0, receipt
        return receipt

    async def undo(self, receipt: str) -> None:
        assert_ok(await self.to_ingest.delete(f"/receipts/{receipt}"))

    async def flow(self) -> list[LegRecorded]:
        """What ingest said arrives at kpi-engine, and what that says is heard. Returns the legs."""
        said = await self.ingest.read_events(LegRecorded, self.tenant)
        await self.ingest.clear_outbox()
        queues: dict[str, list[LegRecorded]] = {}
        for leg in said:
            queues.setdefault(leg.key(self.tenant), []).append(leg)
        line: list[LegRecorded] = []
        while queues:
            key = self.chance.choice(sorted(queues))
            line.append(queues[key].pop(0))
            if not queues[key]:
                del queues[key]
        while line:
            size = self.chance.randint(1, 8)
            batch, line = line[:size], line[size:]
            await self.kpi.deliver(*batch, tenant=self.tenant, twice=self.chance.random() < 0.5)
            self.delivered += batch
        if self.delivered and self.chance.random() < 0.3:
            begin = self.chance.randrange(len(self.delivered))
            await self.kpi.deliver(*self.delivered[begin : begin + 8], tenant=self.tenant, twice=False)
        for _, event in await self.kpi.read_outbox():
            self.told.hear(event)
        await self.kpi.clear_outbox()
        return said

    async def values(self, kpi: str) -> dict[Place, dict[str, Any]]:
        shown: dict[Place, dict[str, Any]] = {}
        for by in ("agent", ""):
            params = {"by": by, "grain": "workday", "from": "2026-03-01", "to": "2026-03-31", "limit": 1000}
            found = assert_ok(await self.to_kpi.get(f"/kpis/{kpi}/values", params=params))
            for each in found["items"]:
                if by and each["key"] is None:
                    continue  # what no agent is known to have taken
                who = WHO[UUID(each["key"])] if by else ALL
                shown[kpi, who, each["window"]] = {"kpi": kpi, **each}
        return shown


def assert_ok(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:2000]}"
    return answer.json()


def exact(value: Fraction | None, sample: int, answer: Any) -> None:
    """An answer, in an event or over HTTP, is this value of this many calls, without any loss."""
    shown = (answer["value"], answer["sample"], answer["reason"] is None)
    assert shown == (None if value is None else decimal_text(value), sample, value is not None), answer
    if value is not None and answer["kpi"] != "mean_talk":  # its numerator, a mean, is rounded when it is shown
        assert Fraction(answer["numerator"]) / Fraction(answer["denominator"]) == value, answer


async def check(stream: Stream, oracle: Oracle, kpis: Iterable[str]) -> None:
    """What was told of values and bands is as the oracle has it, and so are the lists, of these KPIs; the recomputation
    finds no difference."""
    expected = expected_values(oracle)
    of_agents = {place for place in expected if place[1] != ALL}
    assert of_agents == {place for place, score in stream.told.scores.items() if score["sample"]}
    for place in of_agents:
        exact(*expected[place], stream.told.scores[place])
    for kpi in kpis:
        shown = await stream.values(kpi)
        assert shown.keys() == {place for place in expected if place[0] == kpi}
        for place, answer in shown.items():
            exact(*expected[place], answer)
    stays = expected_stays(expected)
    assert sorted(map(tuple, stream.told.stays.values()), key=str) == sorted(stays, key=str)
    bands = assert_ok(await stream.to_kpi.get("/bands", params={"limit": 1000}))["items"]
    assert {(WHO[UUID(each["agent_id"])], each["band"], each["at_window"], None) for each in bands} == {
        stay for stay in stays if stay[3] is None
    }
    recomputed = assert_ok(await stream.to_kpi.get("/reconciliation"))
    assert sorted(recomputed["compared"]) == sorted(KPIS)
    assert recomputed["differences"] == []


async def live(stream: Stream, story: Story) -> None:
    oracle = Oracle()
    await stream.set_up()
    files: list[tuple[str, list[Record], str]] = []
    for step in story.steps:
        match step:
            case ("file", indices, mode):
                records = [story.records[index] for index in indices]
                receipt = await stream.send(records, mode)
                files.append((receipt["id"], records, mode))
                oracle.send(receipt["id"], records)
            case ("again", n) if files:
                _, records, mode = files[n % len(files)]
                receipt = await stream.send(records, mode)
                assert receipt["unchanged"] == receipt["received"] == len(records)
                files.append((receipt["id"], records, mode))
                oracle.send(receipt["id"], records)
                assert await stream.flow() == [], "the same file again changes nothing"
            case ("undo", n) if files:
                receipt_id, _, _ = files.pop(n % len(files))
                await stream.undo(receipt_id)
                oracle.undo(receipt_id)
            case ("learn",):
                await stream.learn()
                oracle.agents.add(LATE)
            case _:
                continue
        await stream.flow()
        await check(stream, oracle, {BANDED, stream.chance.choice(sorted(KPIS))})
    await check(stream, oracle, KPIS)


@pytest.mark.slow
@pytest.mark.timeout(600)  # a failure is shrunk for up to five minutes
def test_stream_recomputation_and_oracle_agree_after_every_prefix(cluster: Cluster, issuer: TestIssuer) -> None:
    with asyncio.Runner() as runner:
        doors = [harness(each, cluster, issuer) for each in (ingest_service, kpi_service)]
        ingest, kpi = [runner.run(door.__aenter__()) for door in doors]
        tenants = (f"t{n}" for n in range(10**6))

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            print_blob=True,
            suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
        )
        @given(stories())
        def holds(story: Story) -> None:
            runner.run(live(Stream(ingest, kpi, next(tenants), random.Random(story.seed)), story))

        try:
            holds()
        finally:
            for door in doors:
                runner.run(door.__aexit__(None, None, None))
