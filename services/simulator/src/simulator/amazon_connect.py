"""Renders a call in the format of Amazon Connect: the contact record (CTR) and the post-call Contact Lens analysis."""

import json
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from simulator.calls import Call

ACCOUNT = "000000000000"
INSTANCE = str(uuid5(NAMESPACE_URL, "uplift/simulated-instance"))
INSTANCE_ARN = f"arn:aws:connect:eu-central-1:{ACCOUNT}:instance/{INSTANCE}"
SITE_NUMBER = "+493023125000"

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def encode_line(record: dict[str, Any]) -> bytes:
    """One line of NDJSON."""
    return _encode(record).encode() + b"\n"


def render_contact_record(call: Call, updated: int) -> dict[str, Any]:
    """The contact record as written at `updated`, seconds since 1970."""
    return {
        "AWSAccountId": ACCOUNT,
        "AWSContactTraceRecordFormatVersion": "2017-03-10",
        "Agent": _agent(call),
        "AgentConnectionAttempts": 1 if call.agent else 0,
        "Attributes": {"language": call.language, "reason": call.reason},
        "Channel": "VOICE",
        "ConnectedToSystemTimestamp": _at(call.initiated),
        "ContactId": call.contact,
        "CustomerEndpoint": {"Address": call.customer, "Type": "TELEPHONE_NUMBER"},
        "DisconnectReason": "AGENT_DISCONNECT" if call.following else "CUSTOMER_DISCONNECT",
        "DisconnectTimestamp": _at(call.disconnected),
        "InitialContactId": call.initial,
        "InitiationMethod": "TRANSFER" if call.previous else "INBOUND",
        "InitiationTimestamp": _at(call.initiated),
        "InstanceARN": INSTANCE_ARN,
        "LastUpdateTimestamp": _at(updated),
        "NextContactId": call.following,
        "PreviousContactId": call.previous,
        "Queue": _queue(call),
        "SystemEndpoint": {"Address": SITE_NUMBER, "Type": "TELEPHONE_NUMBER"},
        "TransferCompletedTimestamp": _at(call.disconnected) if call.following else None,
        "TransferredToEndpoint": None,
    }


def render_contact_lens(call: Call) -> dict[str, Any]:
    """The Contact Lens analysis of the recording. Its non-talk time includes holds and every silence of more than three
    seconds."""
    not_silent_ms = call.conversation * 1000 - call.silent_ms
    talk_ms = round(not_silent_ms * 0.96)
    agent_talk_ms = round(talk_ms * call.agent_share)
    interruptions = [_interval(begin, end) for begin, end in call.interruptions]
    agent_sentiment, customer_sentiment = call.sentiment
    return {
        "Version": "1.1.0",
        "AccountId": ACCOUNT,
        "Channel": "VOICE",
        "ContentMetadata": {"Output": "Raw"},
        "JobStatus": "COMPLETED",
        "LanguageCode": {"en": "en-US", "de": "de-DE", "zh": "zh-CN"}[call.language],
        "CustomerMetadata": {"ContactId": call.contact, "InstanceId": INSTANCE},
        "Participants": [
            {"ParticipantId": "CUSTOMER", "ParticipantRole": "CUSTOMER"},
            {"ParticipantId": "AGENT", "ParticipantRole": "AGENT"},
        ],
        "Categories": {"MatchedCategories": [], "MatchedDetails": {}},
        "ConversationCharacteristics": {
            "TotalConversationDurationMillis": call.conversation * 1000,
            "Sentiment": {"OverallSentiment": {"AGENT": agent_sentiment, "CUSTOMER": customer_sentiment}},
            "Interruptions": {
                "InterruptionsByInterrupter": {"AGENT": interruptions} if interruptions else {},
                "TotalCount": len(interruptions),
                "TotalTimeMillis": sum(each["DurationMillis"] for each in interruptions),
            },
            "NonTalkTime": {
                "TotalTimeMillis": call.silent_ms,
                "Instances": [_interval(begin, end) for begin, end in call.silences],
            },
            "TalkTime": {
                "TotalTimeMillis": talk_ms,
                "DetailsByParticipant": {
                    "AGENT": {"TotalTimeMillis": agent_talk_ms},
                    "CUSTOMER": {"TotalTimeMillis": talk_ms - agent_talk_ms},
                },
            },
        },
        "CustomModels": [],
        "Transcript": [],
    }


def _agent(call: Call) -> dict[str, Any] | None:
    if call.agent is None or call.connected is None:
        return None
    hold_seconds = sum(call.holds)
    return {
        "ARN": _arn("agent", call.agent.username),
        "AfterContactWorkDuration": call.acw,
        "AfterContactWorkEndTimestamp": _at(call.disconnected + call.acw),
        "AfterContactWorkStartTimestamp": _at(call.disconnected),
        "AgentInteractionDuration": call.conversation - hold_seconds,
        "ConnectedToAgentTimestamp": _at(call.connected),
        "CustomerHoldDuration": hold_seconds,
        "HierarchyGroups": {"Level1": {"GroupName": call.agent.team}} if call.agent.team else None,
        "LongestHoldDuration": max(call.holds, default=0),
        "NumberOfHolds": len(call.holds),
        "RoutingProfile": {"Name": call.queue},
        "Username": call.agent.username,
    }


def _queue(call: Call) -> dict[str, Any]:
    dequeued = call.disconnected if call.connected is None else call.connected
    return {
        "ARN": _arn("queue", call.queue),
        "DequeueTimestamp": _at(dequeued),
        "Duration": dequeued - call.enqueued,
        "EnqueueTimestamp": _at(call.enqueued),
        "Name": call.queue,
    }


def _interval(begin: int, end: int) -> dict[str, int]:
    return {"BeginOffsetMillis": begin, "DurationMillis": end - begin, "EndOffsetMillis": end}


@lru_cache
def _arn(kind: str, name: str) -> str:
    return f"{INSTANCE_ARN}/{kind}/{uuid5(NAMESPACE_URL, name)}"


def _at(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{_day(days)}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


@lru_cache
def _day(days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=days)
