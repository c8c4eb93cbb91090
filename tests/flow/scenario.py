"""A small call centre with numbers that are worked out beside it.

Six agents, two teams. Every call lasts 200 s: talk 180 s, hold 20 s, after-call work 30 s. So AHT is 230 s for everybody.
Silence is what differs, as a share of the 200 s conversation:

- `ada` and `ben` (team-a): 65 % on the first four days, then 50 %. In the band coach [60, 70) on 3 of the last 5 days at the third day;
  out of it on 3 of the last 5 days at the seventh.
- `cleo` (team-a) and `dan` (team-b): 30 % always: good.
- `eva` (team-b): 75 % always: critical.
- `finn` (team-b): 65 % always: enters coach and stays.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.examples import SECTIONS

FIRST_DAY = date(2026, 3, 2)
CALLS_A_DAY = 4
TEAMS = {"ada": "team-a", "ben": "team-a", "cleo": "team-a", "dan": "team-b", "eva": "team-b", "finn": "team-b"}
SOURCE = "amazon-connect"

KPI_MODEL: dict[str, Any] = {
    "kpi": "silence_pct",
    "title": {"en": "% Silence", "zh": "静默占比"},
    "unit": "percent",
    "direction": "lower_is_better",
    "source": "legs",
    "where": "channel = 'voice' and conversation_ms > 0",
    "value": "100 * sum(silence()) / sum(conversation_ms)",
    "min_sample": 4,
    "bands": {
        "window": "workday",
        "enter": {"x": 3, "of": 5},
        "leave": {"x": 3, "of": 5},
        "edges": [
            {"name": "good", "from": 0},
            {"name": "watch", "from": 40},
            {"name": "coach", "from": 60},
            {"name": "critical", "from": 70},
        ],
    },
}

AHT_MODEL: dict[str, Any] = {
    "kpi": "aht",
    "title": {"en": "Average handle time"},
    "unit": "seconds",
    "direction": "lower_is_better",
    "source": "legs",
    "where": "answered",
    "value": "sum(handle_ms) / 1000 / count(*)",
    "min_sample": 1,
}


def workday(number: int) -> date:
    """The n-th workday, from 0, weekends passed over."""
    return FIRST_DAY + timedelta(days=number + 2 * (number // 5))


def silence_percent(agent: str, day: int) -> int:
    """`ada-017` behaves as `ada` does."""
    kind = agent.partition("-")[0]
    if kind in ("ada", "ben"):
        return 65 if day < 4 else 50
    return {"cleo": 30, "dan": 30, "eva": 75, "finn": 65}[kind]


def format_timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def contact(agent: str, day: int, call: int, *, tenant: str = "", updated_minutes: int = 10) -> dict[str, Any]:
    """A contact record, by the vendor's documented fields."""
    began = datetime.combine(workday(day), datetime.min.time(), UTC) + timedelta(hours=9, minutes=20 * call)
    answered = began + timedelta(seconds=15)
    ended = answered + timedelta(seconds=200)
    return {
        "ContactId": contact_id(agent, day, call),
        "InitialContactId": None,
        "Channel": "VOICE",
        "InitiationMethod": "INBOUND",
        "InitiationTimestamp": format_timestamp(began),
        "ConnectedToSystemTimestamp": format_timestamp(began),
        "DisconnectTimestamp": format_timestamp(ended),
        "LastUpdateTimestamp": format_timestamp(ended + timedelta(minutes=updated_minutes)),
        "Agent": {
            "Username": agent,
            "ARN": f"arn:aws:connect:eu-central-1:1:instance/i/agent/{agent}",
            "ConnectedToAgentTimestamp": format_timestamp(answered),
            "AgentInteractionDuration": 180,
            "CustomerHoldDuration": 20,
            "NumberOfHolds": 1,
            "LongestHoldDuration": 20,
            "AfterContactWorkDuration": 30,
            "AfterContactWorkStartTimestamp": format_timestamp(ended),
            "AfterContactWorkEndTimestamp": format_timestamp(ended + timedelta(seconds=30)),
        },
        "Queue": {
            "Name": "Billing",
            "ARN": "arn:aws:connect:eu-central-1:1:instance/i/queue/billing",
            "EnqueueTimestamp": format_timestamp(began),
            "DequeueTimestamp": format_timestamp(answered),
            "Duration": 15,
        },
        "CustomerEndpoint": {"Address": "+4930123456", "Type": "TELEPHONE_NUMBER"},
        "AgentConnectionAttempts": 1,
        "Attributes": {"language": "en"},
        "DisconnectReason": "CUSTOMER_DISCONNECT",
    }


def contact_id(agent: str, day: int, call: int) -> str:
    return f"{agent}-{day:02d}-{call:02d}"


def analysis(agent: str, day: int, call: int) -> dict[str, Any]:
    """Its Contact Lens post-call analysis: one silent stretch of the agent's share of 200 s."""
    silent = 2000 * silence_percent(agent, day)
    return {
        "Version": "1.1.0",
        "AccountId": "1",
        "Channel": "VOICE",
        "ContentMetadata": {"Output": "Raw"},
        "JobStatus": "COMPLETED",
        "LanguageCode": "en-US",
        "CustomerMetadata": {"ContactId": contact_id(agent, day, call), "InstanceId": "i"},
        "Participants": [
            {"ParticipantId": "AGENT", "ParticipantRole": "AGENT"},
            {"ParticipantId": "CUSTOMER", "ParticipantRole": "CUSTOMER"},
        ],
        "ConversationCharacteristics": {
            "TotalConversationDurationMillis": 200_000,
            "NonTalkTime": {
                "TotalTimeMillis": silent,
                "Instances": [{"BeginOffsetMillis": 1000, "DurationMillis": silent, "EndOffsetMillis": 1000 + silent}],
            },
            "Interruptions": {"InterruptionsByInterrupter": {}, "TotalCount": 0, "TotalTimeMillis": 0},
            "Sentiment": {"OverallSentiment": {"AGENT": 0.5, "CUSTOMER": 1.2}},
            "TalkTime": {"TotalTimeMillis": 200_000 - silent, "DetailsByParticipant": {}},
        },
        "Transcript": [],
    }


def records_of(day: int, agents: Iterable[str] = tuple(TEAMS), calls: int = CALLS_A_DAY) -> list[dict[str, Any]]:
    """All records of one day; the analysis of every second call comes before its contact record."""
    found: list[dict[str, Any]] = []
    for call in range(calls):
        for agent in agents:
            pair = [contact(agent, day, call), analysis(agent, day, call)]
            found += pair if call % 2 else reversed(pair)
    return found


def ndjson(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def blueprint(source: str = SOURCE, teams: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The test tenant, with these agents and their teams, or the six. Points: 100 for leaving coach for a better band, 50 for a finished training."""

    def somebody(slug: str, role: str, unit: str | None, **more: Any) -> dict[str, Any]:
        return {
            "slug": slug,
            "display_name": slug.title(),
            "email": f"{slug}@example.org",
            "login": slug,
            "roles": [{"role": role, "org_unit": unit}],
            **more,
        }

    agents = [
        somebody(
            agent,
            "agent",
            team,
            external_ids=[{"source": source, "external_id": agent}],
            memberships=[{"org_unit": team, "valid_from": "2025-01-01"}],
            attributes=[{"name": "hire_date", "value": "2024-01-08"}],
        )
        for agent, team in (teams or TEAMS).items()
    ]
    return {
        "blueprint": "flow",
        "sections": {
            "identity": {
                "time_zone": "UTC",
                "org_units": [
                    {"slug": "site", "name": "Site", "kind": "site"},
                    {"slug": "team-a", "name": "Team A", "kind": "team", "parent": "site"},
                    {"slug": "team-b", "name": "Team B", "kind": "team", "parent": "site"},
                ],
                "people": [
                    *agents,
                    somebody("lea", "team_lead", "team-a"),
                    somebody("leo", "team_lead", "team-b"),
                    somebody("tess", "trainer", None),
                    somebody("quinn", "quality_analyst", None),
                    somebody("boss", "tenant_admin", None),
                ],
            },
            "ingest": {"sources": [{"source": source, "vendor": "amazon-connect"}]},
            "kpi-engine": {"kpis": [KPI_MODEL, AHT_MODEL]},
            "training": {
                "templates": [
                    {
                        "template": "silence-basics",
                        "kind": "reading",
                        "title": {"en": "Fewer silences", "zh": "减少静默"},
                        "body": {"en": "Say what you are doing while you do it.", "zh": "边做边说。"},
                    }
                ],
                "rules": [
                    {
                        "rule": "silence-coach",
                        "kpi": "silence_pct",
                        "band": "coach",
                        "template": "silence-basics",
                        "due_days": 7,
                        "cooldown_days": 14,
                        "max_open": 3,
                    }
                ],
            },
            "gamification": {
                "rules": [
                    {
                        "rule": "left-coach",
                        "kind": "band_left",
                        "kpi": "silence_pct",
                        "from_bands": ["coach"],
                        "points": 100,
                        "title": {"en": "Left the coaching band"},
                    },
                    {
                        "rule": "trained",
                        "kind": "training_completed",
                        "points": 50,
                        "title": {"en": "Finished a training"},
                    },
                ],
                "leaderboards": [{"leaderboard": "all", "period": "total", "title": {"en": "All time"}}],
            },
            "forms": {"forms": []},
            "notification": {
                "rules": [
                    {"rule": "assigned", "on": "assignment.assigned", "to": "agent", "channels": ["in_app"]},
                    {"rule": "entered", "on": "band.entered", "to": "leads", "channels": ["in_app"]},
                    {"rule": "points", "on": "points.granted", "to": "agent", "channels": ["in_app"]},
                ]
            },
            **SECTIONS,
        },
    }
