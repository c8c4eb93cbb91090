"""The course of a call: abandoned, transferred, consulted, in a conference. The expected values were derived by hand from the
vendor's pages "Contact records data model" and "Identify conferences and transfers by using contact records"."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from ingest.model import amazon_connect
from ingest.model.amazon_connect import Options
from ingest.model.canonical import Agent, Held, Interaction, Leg, merge
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Part
from ingest.model.refusal import Refusal
from ingest_records import analysis, contact, event
from servicekit.workdays import compute_workday

NOW = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000)
PEOPLE = {"ada": UUID(int=1), "ben": UUID(int=2)}


def clock(text: str) -> str:
    return f"2026-03-02T{text}Z"


def read(record: dict[str, Any], options: Options | None = None) -> Any:
    return amazon_connect.read(record, ReadContext(NOW, b"s"), options or Options())


def agent_of(names: list[str], at: int) -> Agent | None:
    return next((Agent(PEOPLE[name], compute_workday(at, UTC)) for name in names if name in PEOPLE), None)


def merged(*records: dict[str, Any], options: Options | None = None) -> Interaction:
    parts: list[Part] = [read(record, options) for record in records]
    either = [
        merge(order, agent_of, lambda at: compute_workday(at, UTC), open_without_end=True)
        for order in (parts, list(reversed(parts)))
    ]
    assert either[0].legs == either[1].legs
    return either[0]


def waiting(contact_id: str = "q-1", reason: str | None = "CUSTOMER_DISCONNECT", **changes: Any) -> dict[str, Any]:
    """A caller who waited for 60 s in a queue, from 08:00 to 08:01, and whom nobody answered."""
    queue = {
        "Name": "Sales",
        "EnqueueTimestamp": clock("08:00:00"),
        "DequeueTimestamp": clock("08:01:00"),
        "Duration": 60,
    }
    return contact(
        contact_id, None, DisconnectTimestamp=clock("08:01:00"), DisconnectReason=reason, Queue=queue, **changes
    )


def spoke(
    contact_id: str,
    agent: str,
    begin: str,
    end: str,
    *,
    talk: int,
    hold: int = 0,
    acw: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """An agent's contact; `acw`: when after-contact work began, else at the end."""
    record = contact(
        contact_id, agent, InitiationTimestamp=clock(begin), DisconnectTimestamp=clock(end), Queue=None, **changes
    )
    record["Agent"] |= {
        "ConnectedToAgentTimestamp": clock(begin),
        "AgentInteractionDuration": talk,
        "CustomerHoldDuration": hold,
        "NumberOfHolds": int(hold > 0),
        "LongestHoldDuration": hold,
        "AfterContactWorkDuration": 0,
        "AfterContactWorkStartTimestamp": clock(acw or end),
        "AfterContactWorkEndTimestamp": clock(acw or end),
    }
    return record


def called_in(first: str = "t-1", method: str = "TRANSFER") -> dict[str, Any]:
    return {"InitiationMethod": method, "InitialContactId": first, "PreviousContactId": first}


@pytest.mark.parametrize(
    "reason,abandoned",
    [
        ("CUSTOMER_DISCONNECT", True),
        ("TELECOM_ORIGINATOR_CANCEL", True),
        (None, True),  # records of before 2021 have no reason: then the vendor's own rule, queued and not connected
        ("CONTACT_FLOW_DISCONNECT", False),
        ("AGENT_DISCONNECT", False),
        ("TELECOM_PROBLEM", False),
        ("EXPIRED", False),
        ("API", False),
        ("OTHER", False),
        ("SYSTEM_ERROR", False),
        ("IDLE_DISCONNECT", False),
        ("SOMETHING_NEW", None),
    ],
)
def test_only_who_left_while_waiting_gave_up(reason: str | None, abandoned: bool | None) -> None:
    (leg,) = merged(waiting(reason=reason)).legs
    assert (leg.answered, leg.abandoned, leg.queue_ms) == (False, abandoned, 60_000)


def test_the_options_translate_a_new_disconnect_reason() -> None:
    options = Options(disconnect_reasons={"SOMETHING_NEW": "customer", "CUSTOMER_DISCONNECT": "other"})
    assert merged(waiting(reason="SOMETHING_NEW"), options=options).legs[0].abandoned is True
    assert merged(waiting(), options=options).legs[0].abandoned is False


@pytest.mark.parametrize(
    "changes",
    [
        {"InitiationMethod": "CALLBACK"},
        {"InitiationMethod": "OUTBOUND"},
        {"InitiationMethod": "EXTERNAL_OUTBOUND"},
        {"InitiationMethod": "MONITOR"},
        {"InitiationMethod": "CAMPAIGN_PREVIEW"},
        {"Channel": "TASK", "InitiationMethod": "API"},
        {"Channel": "EMAIL"},
        {"TransferCompletedTimestamp": clock("08:01:00")},
        {"TransferredToEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": "+15550100"}},
        {"NextContactId": "q-2"},  # it continued; the next record has how
        {"Queue": None},
        {"Queue": {"ARN": None, "Name": None, "Duration": None}},
    ],
)
def test_a_call_is_not_abandoned_when_no_customer_waited_or_the_call_continued(changes: dict[str, Any]) -> None:
    assert merged(waiting() | changes).legs[0].abandoned is False


@pytest.mark.parametrize("method,abandoned", [("QUEUE_TRANSFER", False), ("CALLBACK", False), ("DISCONNECT", True)])
def test_the_contact_that_continues_decides_whether_the_call_was_abandoned(method: str, abandoned: bool) -> None:
    """A queue transfer and a callback go on with the customer; a disconnect flow runs after the customer is gone."""
    after: dict[str, Any] = called_in("q-1", method) | {"NextContactId": None}
    second = spoke("q-2", "ada", "08:01:00", "08:06:00", talk=300, **after)
    first, other = merged(waiting(NextContactId="q-2"), second).legs
    assert merged(waiting(), second | {"PreviousContactId": None}).legs[0].abandoned is abandoned
    assert (first.abandoned, other.abandoned, other.answered) == (abandoned, False, True)
    assert first.transferred is (method == "QUEUE_TRANSFER")


def test_a_caller_who_is_moved_to_another_queue_and_gives_up_there_gave_up_once() -> None:
    second = waiting(
        "q-2", InitiationTimestamp=clock("08:01:00"), **called_in("q-1", "QUEUE_TRANSFER")
    ) | {"DisconnectTimestamp": clock("08:03:00"), "Queue": {"Name": "Support", "Duration": 120}}  # fmt: skip
    legs = merged(waiting(reason=None, NextContactId="q-2"), second).legs
    assert [(leg.abandoned, leg.transferred, leg.queue) for leg in legs] == [
        (False, True, "Sales"),
        (True, False, "Support"),
    ]


def test_a_transferred_contact_without_an_agent() -> None:
    """The first agent is gone when the customer gives up: handed on, and given up. Else it was a question in vain."""
    to_queue = {"Queue": {"Name": "Second line", "Duration": 90}, "DisconnectReason": "CUSTOMER_DISCONNECT"}
    nobody = contact("t-2", None, InitiationTimestamp=clock("08:05:00"), **called_in()) | to_queue
    nobody["DisconnectTimestamp"] = clock("08:06:30")
    gone = spoke("t-1", "ada", "08:00:00", "08:05:00", talk=300, NextContactId="t-2")
    first, second = merged(gone, nobody).legs
    assert (first.transferred, first.transfers, first.abandoned) == (True, 1, False)
    assert (second.relation, second.answered, second.abandoned) == ("transfer", False, True)
    back = spoke("t-1", "ada", "08:00:00", "08:10:00", talk=500, hold=100, NextContactId="t-2")
    first, second = merged(back, nobody).legs
    assert (first.transferred, first.transfers, second.relation, second.abandoned) == (False, 0, "consult", False)


@pytest.mark.parametrize(
    "first_leaves,talk,hold,relation",
    [
        ("08:05:00", 600, 0, "transfer"),
        ("08:20:00", 0, 200, "consult"),
        ("08:20:00", 180, 200, "consult"),  # the customer was on hold all the while
        ("08:20:00", 600, 30, "conference"),
        ("08:15:00", 600, 30, "conference"),  # both leave in the same second: the first stayed to the end
    ],
)
def test_transfer_consult_and_conference_differ_by_who_leaves_first(
    first_leaves: str, talk: int, hold: int, relation: str
) -> None:
    first = spoke("t-1", "ada", "08:00:00", "08:20:00", talk=200, hold=hold, acw=first_leaves, NextContactId="t-2")
    second = spoke("t-2", "ben", "08:04:00", "08:15:00", talk=talk, **called_in())
    one, two = merged(first, second).legs
    moved = relation == "transfer"
    assert (one.transferred, one.transfers, two.transferred, two.relation) == (moved, int(moved), False, relation)
    assert one.relation is None


@pytest.mark.parametrize(
    "first_leaves,hold,outside,relation",
    [("08:05:00", 0, 600, "transfer"), ("08:20:00", 200, 120, "consult"), ("08:20:00", 20, 600, "conference")],
)
def test_an_outside_party_likewise(first_leaves: str, hold: int, outside: int, relation: str) -> None:
    first = spoke("t-1", "ada", "08:00:00", "08:20:00", talk=200, hold=hold, acw=first_leaves, NextContactId="t-2")
    party = contact("t-2", None, InitiationTimestamp=clock("08:04:00"), **called_in(method="EXTERNAL_OUTBOUND"))
    party |= {"DisconnectTimestamp": clock("08:15:00"), "DisconnectReason": "THIRD_PARTY_DISCONNECT"}
    party["ExternalThirdParty"] = {"ExternalThirdPartyInteractionDuration": outside}
    one, two = merged(first, party).legs
    assert (one.transferred, two.relation, two.abandoned) == (relation == "transfer", relation, False)
    assert two.direction == "outbound"


def test_a_cold_transfer_is_one_whatever_else_was_tried() -> None:
    completed = {"TransferCompletedTimestamp": clock("08:20:00"), "NextContactId": "t-3"}
    first = spoke("t-1", "ada", "08:00:00", "08:20:00", talk=900, hold=200, **completed)
    consulted = spoke("t-2", "ben", "08:04:00", "08:06:00", talk=0, **called_in())
    transferred = spoke("t-3", "ben", "08:20:00", "08:30:00", talk=600, **called_in())
    assert [(leg.transferred, leg.transfers, leg.relation) for leg in merged(first, consulted, transferred).legs] == [
        (True, 1, None),
        (False, 0, "consult"),
        (False, 0, "transfer"),
    ]


def test_an_agent_may_stay_after_the_customer() -> None:
    """From 08:00 to 08:10 with the customer, and 30 s more with whom was called in: 500 + 130 s."""
    (leg,) = merged(spoke("s-1", "ada", "08:00:00", "08:10:00", talk=500, hold=130, acw="08:10:30")).legs
    assert (leg.talk_ms, leg.hold_ms, leg.conversation_ms) == (500_000, 130_000, 630_000)
    with pytest.raises(Refusal) as caught:
        read(spoke("s-1", "ada", "08:00:00", "08:10:00", talk=600, hold=130, acw="08:10:30"))
    assert caught.value.field == "Agent.AgentInteractionDuration"
    unknown = spoke("s-1", "ada", "08:00:00", "08:10:00", talk=500, hold=130)
    unknown["Agent"] |= {"AfterContactWorkStartTimestamp": None, "AfterContactWorkEndTimestamp": None}
    assert merged(unknown).legs[0].conversation_ms == 630_000


@pytest.mark.parametrize("shape", ["AgentInfo", "QueueInfo", "agentInfo"])
def test_an_answer_of_the_api_is_never_half_read(shape: str) -> None:
    record = waiting() | {shape: {"Id": "ada"}}
    with pytest.raises(Refusal) as caught:
        read(record)
    assert caught.value.field == shape
    assert "Kinesis" in caught.value.cure
    with pytest.raises(Refusal) as caught:
        read({"Contact": {"Id": "c-1", "AgentInfo": {"Id": "ada"}, "InitiationTimestamp": clock("08:00:00")}})
    assert caught.value.field == "Contact"


def test_a_queue_without_a_name_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        read(waiting() | {"Queue": {"QueueId": "q", "Duration": 60}})
    assert caught.value.field == "Queue.Name"


def test_while_the_first_contact_is_missing_or_open_its_known_direction_applies() -> None:
    second = spoke("t-2", "ben", "08:04:00", "08:15:00", talk=600, **called_in())
    (alone,) = merged(second).legs
    assert (alone.direction, alone.first_leg, alone.relation) == (None, True, None)
    (leg,) = merged(second, event("INITIATED", "t-1")).legs
    assert leg.direction == "inbound"
    still_open = spoke("t-1", "ada", "08:00:00", "08:20:00", talk=200) | {"DisconnectTimestamp": None}
    found = merged(second, still_open)
    assert ([leg.direction for leg in found.legs], found.held) == (
        ["inbound"],
        [Held("t-1", "open_interaction", ["contact"])],
    )


def test_the_sentiment_of_a_chat_lies_one_level_deeper() -> None:
    overall = {
        "DetailsByInteraction": {"DetailsByParticipantRole": {"CUSTOMER": {"WithAgent": -4.0}}},
        "DetailsByParticipantRole": {"AGENT": 1.0, "CUSTOMER": -1.5},
    }
    chat = analysis(Channel="CHAT", ConversationCharacteristics={"Sentiment": {"OverallSentiment": overall}})
    (leg,) = merged(contact(Channel="CHAT", InitiationMethod="API"), chat).legs
    assert isinstance(leg, Leg)
    assert (leg.sentiment, leg.direction) == (-150, "inbound")
    overall["DetailsByParticipantRole"]["CUSTOMER"] = 7
    with pytest.raises(Refusal) as caught:
        read(chat)
    assert caught.value.field.endswith("OverallSentiment.DetailsByParticipantRole.CUSTOMER")


def test_the_list_of_attributes_to_keep_is_the_whole_list() -> None:
    record = contact()  # language, and two that look personal
    assert read(record).facts.attributes == {"language": "en"}
    assert read(record, Options(keep_attributes=["mail"])).facts.attributes == {"mail": "a@example.org"}
    assert read(record, Options(keep_attributes=[])).facts.attributes == {}
    facts = read(record, Options(keep_attributes=[], reason_attribute="language")).facts
    assert (facts.reason, facts.attributes) == ("en", {})
