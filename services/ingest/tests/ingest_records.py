"""Records as Amazon Connect documents them, written for these tests, and a source to send them to."""

from typing import Any

from testkit import Harness, person

ARN = "arn:aws:connect:eu-central-1:111122223333:instance/i-1"

PEOPLE = [
    person("ada", team="team-a", external={"connect": "ada", "calls": "ada"}),
    person("ben", team="team-a", external={"connect": "id-of-ben"}),
    person("lea", roles=[("team_lead", "team-a")], team="team-a"),
    person("quinn", roles=["quality_analyst"]),
    person("theo", roles=["tenant_admin"]),
    person("robot", roles=["integration"], kind="machine"),
]


def contact(contact_id: str = "c-1", agent: str | None = "ada", **changes: Any) -> dict[str, Any]:
    """A finished inbound call: 12 s in the queue, 240 s talk, 20 s hold, 30 s after-call work.

    Initiated 08:00:00, connected to the agent 08:00:40, disconnected 08:05:00 (260 s = talk + hold).
    """
    record: dict[str, Any] = {
        "AWSAccountId": "111122223333",
        "AWSContactTraceRecordFormatVersion": "2017-03-10",
        "ContactId": contact_id,
        "InitialContactId": None,
        "PreviousContactId": None,
        "NextContactId": None,
        "Channel": "VOICE",
        "InitiationMethod": "INBOUND",
        "InitiationTimestamp": "2026-03-02T08:00:00Z",
        "ConnectedToSystemTimestamp": "2026-03-02T08:00:01Z",
        "DisconnectTimestamp": "2026-03-02T08:05:00Z",
        "DisconnectReason": "CUSTOMER_DISCONNECT",
        "LastUpdateTimestamp": "2026-03-02T08:06:00Z",
        "TransferCompletedTimestamp": None,
        "TransferredToEndpoint": None,
        "AgentConnectionAttempts": 1,
        "Attributes": {"language": "en", "callback": "+49 30 1234567", "mail": "a@example.org"},
        "CustomerEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": "+4930123456"},
        "Queue": {
            "ARN": f"{ARN}/queue/q-1",
            "Name": "Billing",
            "EnqueueTimestamp": "2026-03-02T08:00:28Z",
            "DequeueTimestamp": "2026-03-02T08:00:40Z",
            "Duration": 12,
        },
        "Agent": {
            "ARN": f"{ARN}/agent/id-of-{agent}",
            "Username": agent,
            "ConnectedToAgentTimestamp": "2026-03-02T08:00:40Z",
            "AgentInteractionDuration": 240,
            "CustomerHoldDuration": 20,
            "NumberOfHolds": 1,
            "LongestHoldDuration": 20,
            "AfterContactWorkDuration": 30,
            "AfterContactWorkStartTimestamp": "2026-03-02T08:05:00Z",
            "AfterContactWorkEndTimestamp": "2026-03-02T08:05:30Z",
            "HierarchyGroups": None,
            "RoutingProfile": {"ARN": f"{ARN}/routing-profile/r-1", "Name": "Basic"},
        }
        if agent
        else None,
    }
    return record | changes


def analysis(contact_id: str | None = "c-1", **changes: Any) -> dict[str, Any]:
    """260 s of conversation, 170 s of it silent in two stretches (89 s and 81 s): 65.38 %."""
    record: dict[str, Any] = {
        "Version": "1.1.0",
        "AccountId": "111122223333",
        "Channel": "VOICE",
        "JobStatus": "COMPLETED",
        "LanguageCode": "en-US",
        "CustomerMetadata": {"ContactId": contact_id, "InstanceId": "i-1", "InputS3Uri": "s3://b/k"},
        "Participants": [
            {"ParticipantId": "p-agent", "ParticipantRole": "AGENT"},
            {"ParticipantId": "CUSTOMER", "ParticipantRole": "CUSTOMER"},
        ],
        "ConversationCharacteristics": {
            "TotalConversationDurationMillis": 260_000,
            "Sentiment": {"OverallSentiment": {"p-agent": 0.5, "CUSTOMER": 1.2}},
            "Interruptions": {
                "InterruptionsByInterrupter": {
                    "p-agent": [{"BeginOffsetMillis": 500, "DurationMillis": 400, "EndOffsetMillis": 900}],
                    "CUSTOMER": [{"BeginOffsetMillis": 95_000, "DurationMillis": 300, "EndOffsetMillis": 95_300}],
                },
                "TotalCount": 2,
                "TotalTimeMillis": 700,
            },
            "NonTalkTime": {
                "TotalTimeMillis": 170_000,
                "Instances": [
                    {"BeginOffsetMillis": 1_000, "DurationMillis": 89_000, "EndOffsetMillis": 90_000},
                    {"BeginOffsetMillis": 100_000, "DurationMillis": 81_000, "EndOffsetMillis": 181_000},
                ],
            },
        },
        "Transcript": [],
    }
    return record | changes


def event(kind: str, contact_id: str = "c-1", **detail: Any) -> dict[str, Any]:
    """A contact event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": f"{kind}-{contact_id}",
        "detail-type": "Amazon Connect Contact Event",
        "source": "aws.connect",
        "time": "2026-03-02T08:00:00Z",
        "detail": {
            "eventType": kind,
            "contactId": contact_id,
            "channel": "VOICE",
            "initiationMethod": "INBOUND",
            "initiationTimestamp": "2026-03-02T08:00:00.000Z",
            **detail,
        },
    }


def agent_event(
    at: str,
    state: str,
    since: str,
    *,
    before: tuple[str, str] | None = None,
    kind: str = "STATE_CHANGE",
    agent: str = "ada",
) -> dict[str, Any]:
    """An agent event: in `state` since `since`, before that in `before` (state, since)."""

    def snapshot(name: str, start: str) -> dict[str, Any]:
        return {
            "AgentStatus": {"ARN": f"{ARN}/agent-state/{name}", "Name": name, "StartTimestamp": start},
            "Configuration": {"Username": agent, "AgentHierarchyGroups": None},
            "Contacts": [],
        }

    return {
        "AWSAccountId": "111122223333",
        "AgentARN": f"{ARN}/agent/id-of-{agent}",
        "EventId": f"{kind}-{at}",
        "EventTimestamp": at,
        "EventType": kind,
        "CurrentAgentSnapshot": snapshot(state, since),
        "PreviousAgentSnapshot": snapshot(*before) if before else None,
        "Version": "2017-10-01",
    }


async def configure_source(harness: Harness, of: str, slug: str = "connect", **spec: Any) -> None:
    made = await harness.client_as("theo", of).put(f"/sources/{slug}", json={"vendor": "amazon-connect", **spec})
    assert made.status_code == 200, made.text
