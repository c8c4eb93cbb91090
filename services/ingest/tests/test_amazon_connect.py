"""Contact records, analyses, events: read, merged, refused. The figures are worked by hand in `ingest_records`."""

import copy
import random
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from ingest.model import amazon_connect
from ingest.model.amazon_connect import Options
from ingest.model.canonical import Agent, Held, Interaction, Leg, merge
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Part, StateNotice
from ingest.model.refusal import Refusal
from ingest_records import agent_event, analysis, contact, event
from servicekit.workdays import compute_workday

ADA = UUID("0197c0de-0000-7000-8000-000000000001")
NOW = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000)
READING = ReadContext(NOW, b"secret")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def read(record: dict[str, Any], options: Options | None = None, reading: ReadContext = READING) -> Any:
    return amazon_connect.read(record, reading, options or Options())


def agent_of(names: list[str], at: int) -> Agent | None:
    return (
        Agent(ADA, compute_workday(at, ZoneInfo("Europe/Berlin"))) if "ada" in names or "id-of-ada" in names else None
    )


def day_of(at: int) -> date:
    return compute_workday(at, UTC)


def merged(*records: dict[str, Any]) -> Interaction:
    parts: list[Part] = [read(record) for record in records]
    return merge(parts, agent_of, day_of, open_without_end=True)


def test_contact_record_and_analysis_become_one_leg_in_either_order() -> None:
    first = merged(contact(), analysis())
    assert first == merged(analysis(), contact())
    (leg,) = first.legs
    assert leg == Leg(
        external_id="c-1",
        started=ms("2026-03-02T08:00:00Z"),
        ended=ms("2026-03-02T08:05:00Z"),
        workday=date(2026, 3, 2),
        channel="voice",
        direction="inbound",
        agent_id=ADA,
        agent_external_id="ada",
        queue="Billing",
        attributes={"language": "en"},
        queue_ms=12_000,
        talk_ms=240_000,
        hold_ms=20_000,
        acw_ms=30_000,
        handle_ms=290_000,
        conversation_ms=260_000,
        silence_vendor_ms=170_000,
        overtalk_ms=700,
        gaps=[(1_000, 90_000), (100_000, 181_000)],
        interruptions=1,
        transfers=0,
        answered=True,
        abandoned=False,
        transferred=False,
        sentiment=120,
        customer_key=READING.customer_key("+49 (30) 123456"),
    )
    assert first.held == []


def test_a_contact_record_alone_has_no_silence() -> None:
    (leg,) = merged(contact()).legs
    assert isinstance(leg, Leg)
    assert (leg.conversation_ms, leg.silence_vendor_ms, leg.gaps, leg.interruptions) == (260_000, None, None, None)


def test_a_call_without_an_agent_is_not_answered() -> None:
    (leg,) = merged(contact(agent=None)).legs
    assert isinstance(leg, Leg)
    assert (leg.agent_id, leg.answered, leg.abandoned, leg.queue_ms) == (None, False, True, 12_000)
    assert (leg.talk_ms, leg.handle_ms, leg.conversation_ms) == (None, None, None)
    (leg,) = merged(contact(agent=None, Queue=None)).legs
    assert isinstance(leg, Leg)
    assert (leg.answered, leg.abandoned, leg.queue) == (False, False, None)


def test_the_newest_record_counts_in_any_order_of_arrival() -> None:
    def version(minute: int, talk: int) -> dict[str, Any]:
        record = contact(LastUpdateTimestamp=f"2026-03-02T09:0{minute}:00Z")
        record["Agent"]["AgentInteractionDuration"] = talk
        return record

    versions = [version(1, 100), version(2, 110), version(3, 120), analysis()]
    for seed in range(6):
        random.Random(seed).shuffle(versions)
        (leg,) = merged(*versions).legs
        assert isinstance(leg, Leg)
        assert (leg.talk_ms, leg.handle_ms) == (120_000, 170_000)


def transferred() -> list[dict[str, Any]]:
    second = contact(
        "c-2", "ben", InitialContactId="c-1", PreviousContactId="c-1", InitiationMethod="TRANSFER",
        InitiationTimestamp="2026-03-02T08:04:00Z", DisconnectTimestamp="2026-03-02T08:20:00Z",
    )  # fmt: skip
    second["Agent"] |= {
        "ConnectedToAgentTimestamp": "2026-03-02T08:04:30Z",
        "AfterContactWorkStartTimestamp": "2026-03-02T08:20:00Z",
        "AfterContactWorkEndTimestamp": "2026-03-02T08:20:30Z",
    }
    return [contact(NextContactId="c-2"), second]


def test_a_transfer_makes_legs_of_one_interaction() -> None:
    records = transferred()
    parts = [read(record) for record in records]
    assert [part.initial for part in parts] == [None, "c-1"]
    result = merge(parts, agent_of, day_of, open_without_end=True)
    first, second = result.legs
    assert isinstance(first, Leg)
    assert (first.external_id, first.first_leg, first.last_leg, first.transferred, first.transfers) == (
        "c-1",
        True,
        False,
        True,
        1,
    )
    names = ["ben", "id-of-ben", "arn:aws:connect:eu-central-1:111122223333:instance/i-1/agent/id-of-ben"]
    assert result.held == [Held("c-2", "unknown_agent", names)]
    assert (second.agent_id, second.agent_external_id, second.held, second.talk_ms) == (
        None,
        "ben",
        "unknown_agent",
        240_000,
    )
    both = merge(parts, lambda names, at: Agent(ADA, day_of(at)), day_of, open_without_end=True).legs[1]
    assert isinstance(both, Leg)
    assert (both.direction, both.first_leg, both.last_leg, both.transferred) == ("inbound", False, True, False)
    assert (both.held, both.relation) == (None, "transfer")


def test_events_open_an_interaction_and_never_override_the_record() -> None:
    opening = [
        event("INITIATED"),
        event("QUEUED"),
        event("CONNECTED_TO_AGENT", agentInfo={"agentArn": "x/agent/id-of-ada"}),
    ]
    assert merged(*opening) == Interaction([], [Held("c-1", "open_interaction", ["contact"])])
    over = event("DISCONNECTED", disconnectTimestamp="2026-03-02T08:09:00Z")
    assert merged(*opening, over).held == [Held("c-1", "waiting_for_part", ["contact"])]
    assert merged(*opening, over, contact()) == merged(contact())
    assert merged(*opening, contact(DisconnectTimestamp=None)).held == [Held("c-1", "open_interaction", ["contact"])]
    assert merged(analysis()).held == [Held("c-1", "waiting_for_part", ["contact"])]


def changed(path: str, value: Any, record: dict[str, Any] | None = None) -> dict[str, Any]:
    record = copy.deepcopy(record or contact())
    *above, last = path.split(".")
    inner = record
    for step in above:
        inner = inner[step]
    inner[last] = value
    return record


BAD = [
    ("InitiationTimestamp", "2026-03-02T08:00:00", "InitiationTimestamp", "no time zone"),
    ("InitiationTimestamp", None, "InitiationTimestamp", "missing"),
    ("InitiationTimestamp", 1772438400, "InitiationTimestamp", "not text"),
    ("InitiationTimestamp", "yesterday", "InitiationTimestamp", "not a time"),
    ("InitiationTimestamp", "1970-01-01T00:00:00Z", "InitiationTimestamp", "before the year 2000"),
    ("InitiationTimestamp", "2039-01-01T00:00:00Z", "InitiationTimestamp", "in the future"),
    ("InitiationTimestamp", "0001-01-01T00:00:00+14:00", "InitiationTimestamp", "before the year 2000"),
    ("DisconnectTimestamp", "2026-03-02T07:59:00Z", "DisconnectTimestamp", "lies before"),
    ("Agent.AgentInteractionDuration", -1, "Agent.AgentInteractionDuration", "negative"),
    ("Agent.AgentInteractionDuration", 9000, "Agent.AgentInteractionDuration", "the contact only 260000 ms"),
    ("Agent.AgentInteractionDuration", 1.5, "Agent.AgentInteractionDuration", "not a whole number"),
    ("Agent.AgentInteractionDuration", True, "Agent.AgentInteractionDuration", "not a whole number"),
    ("Agent.AgentInteractionDuration", "240", "Agent.AgentInteractionDuration", "not a whole number"),
    ("Agent.AfterContactWorkDuration", 10**30, "Agent.AfterContactWorkDuration", "longer than 400 days"),
    ("Agent.AfterContactWorkDuration", 99, "Agent.AfterContactWorkDuration", "contradicts"),
    ("Agent.AfterContactWorkEndTimestamp", "2026-03-02T08:04:00Z", "Agent.AfterContactWorkEndTimestamp", "before the start"),
    ("Agent.LongestHoldDuration", 21, "Agent.LongestHoldDuration", "longer than CustomerHoldDuration"),
    ("Agent.ConnectedToAgentTimestamp", "2026-03-02T08:06:00Z", "DisconnectTimestamp", "lies before"),
    ("Queue.Duration", 60, "Queue.Duration", "contradicts"),
    ("Agent", [], "Agent", "not an object"),
    ("Agent", {"Username": None}, "Agent.Username", "neither"),
    ("Channel", "FAX", "Channel", "not a value"),
    ("Channel", None, "Channel", "missing"),
    ("InitiationMethod", "TELEPATHY", "InitiationMethod", "not a value"),
    ("ContactId", "", "ContactId", "missing"),
    ("ContactId", "x" * 600, "ContactId", "longer than 512"),
]  # fmt: skip


@pytest.mark.parametrize("path,value,field,reason", BAD)
def test_a_bad_contact_record_is_refused_with_field_reason_and_cure(
    path: str, value: Any, field: str, reason: str
) -> None:
    with pytest.raises(Refusal) as caught:
        read(changed(path, value))
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert caught.value.cure


CHARACTERISTICS = "ConversationCharacteristics."


@pytest.mark.parametrize(
    "path,value,field",
    [
        ("CustomerMetadata", None, "CustomerMetadata.ContactId"),
        ("JobStatus", "FAILED", "JobStatus"),
        (CHARACTERISTICS + "TotalConversationDurationMillis", -1, CHARACTERISTICS + "TotalConversationDurationMillis"),
        (CHARACTERISTICS + "TotalConversationDurationMillis", 1000, CHARACTERISTICS + "NonTalkTime.TotalTimeMillis"),
        (CHARACTERISTICS + "NonTalkTime.Instances", {}, CHARACTERISTICS + "NonTalkTime.Instances"),
        (CHARACTERISTICS + "NonTalkTime.Instances", [{"BeginOffsetMillis": 9, "EndOffsetMillis": 1}], CHARACTERISTICS + "NonTalkTime.Instances[0].EndOffsetMillis"),
        (CHARACTERISTICS + "Sentiment.OverallSentiment.CUSTOMER", 9, CHARACTERISTICS + "Sentiment.OverallSentiment.CUSTOMER"),
    ],
)  # fmt: skip
def test_a_bad_analysis_is_refused(path: str, value: Any, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(changed(path, value, analysis()))
    assert caught.value.field == field


def test_what_the_analysis_does_not_say_stays_unknown() -> None:
    bare = analysis(ConversationCharacteristics={"TotalConversationDurationMillis": 260_000})
    (leg,) = merged(contact(), bare).legs
    assert isinstance(leg, Leg)
    assert (leg.silence_vendor_ms, leg.gaps, leg.overtalk_ms, leg.interruptions, leg.sentiment) == (None,) * 5


def test_options_declare_a_zone_and_translate_values() -> None:
    record = changed("InitiationTimestamp", "2026-03-02T09:00:00")
    part = read(record, reading=ReadContext(NOW, b"secret", ZoneInfo("Europe/Berlin")))
    assert part.facts.started == ms("2026-03-02T08:00:00Z")
    options = Options(
        channels={"FAX": "task"},
        initiation_methods={"NEW": "inbound"},
        reason_attribute="language",
        keep_attributes=["mail"],
    )
    part = read(contact(Channel="FAX", InitiationMethod="NEW"), options)
    assert (part.facts.channel, part.facts.direction, part.facts.reason) == ("task", "inbound", "en")
    assert part.facts.attributes == {"mail": "a@example.org"}


def test_customer_numbers_leave_as_keyed_hashes_only() -> None:
    part = read(contact())
    assert b"4930123456" not in msgspec.json.encode(part)
    assert part.facts.customer_key == read(contact(CustomerEndpoint={"Address": "+49 30 123456"})).facts.customer_key
    assert part.facts.customer_key != ReadContext(NOW, b"other").customer_key("+4930123456")
    assert len(part.facts.customer_key) == 32


def test_agent_events_become_points_of_state() -> None:
    notice = read(
        agent_event(
            "2026-03-02T09:00:00Z", "Lunch", "2026-03-02T08:59:00Z", before=("Available", "2026-03-02T08:00:00Z")
        )
    )
    assert notice == StateNotice(
        agents=["ada", "id-of-ada", "arn:aws:connect:eu-central-1:111122223333:instance/i-1/agent/id-of-ada"],
        stamp=ms("2026-03-02T09:00:00Z"),
        points=[(ms("2026-03-02T08:00:00Z"), "Available"), (ms("2026-03-02T08:59:00Z"), "Lunch")],
    )
    out = read(agent_event("2026-03-02T17:00:00Z", "Available", "2026-03-02T13:00:00Z", kind="LOGOUT"))
    assert out.points == [(ms("2026-03-02T13:00:00Z"), "Available"), (ms("2026-03-02T17:00:00Z"), None)]
    with pytest.raises(Refusal):
        read(agent_event("2026-03-02T08:00:00Z", "Available", "2026-03-02T09:00:00Z"))


def test_workday_is_local_and_may_begin_late() -> None:
    at = ms("2026-03-02T23:30:00Z")  # 00:30 on the third in Berlin
    berlin = ZoneInfo("Europe/Berlin")
    assert compute_workday(at, UTC) == date(2026, 3, 2)
    assert compute_workday(at, berlin) == date(2026, 3, 3)
    assert compute_workday(at, berlin, 60) == date(2026, 3, 2)


def test_no_record_crashes_the_reader() -> None:
    """Every field of every kind in turn becomes every kind of nonsense: a part or a refusal, never another error."""
    nonsense: list[Any] = [None, "", "x", -1, 1.5, True, [], {}, [None], {"a": None}, 10**40, float(10**300)]

    def paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
        if path:
            yield path
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            yield from paths(item, (*path, key))

    samples = [
        contact(),
        analysis(),
        event("QUEUED"),
        event("QUEUED")["detail"],
        agent_event("2026-03-02T09:00:00Z", "A", "2026-03-02T08:00:00Z"),
    ]
    for sample in samples:
        for path in list(paths(sample)):
            for value in nonsense:
                record = copy.deepcopy(sample)
                inner: Any = record
                for step in path[:-1]:
                    inner = inner[step]
                inner[path[-1]] = value
                try:
                    part = read(record)
                except Refusal:
                    continue
                if isinstance(part, Part):
                    merge([part], agent_of, day_of, open_without_end=True)
