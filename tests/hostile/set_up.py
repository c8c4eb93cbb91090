"""A tenant with one of everything, and for every write of every service a request that it takes."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.examples import EXAMPLES

ALL_ROLES = ["tenant_admin", "quality_analyst", "trainer", "integration", "agent"]
PEOPLE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "org_units": [
        {"slug": "site", "name": "Site", "kind": "site"},
        {"slug": "team-a", "name": "Team A", "kind": "team", "parent": "site"},
    ],
    "people": [
        {
            "slug": slug,
            "display_name": slug.title(),
            "login": slug,
            "roles": [{"role": role} for role in roles],
            "external_ids": [{"source": "calls", "external_id": slug}],
            "memberships": [{"org_unit": "team-a", "valid_from": "2026-01-05"}],
        }
        for slug, roles in (("boss", ALL_ROLES), ("ada", ["agent"]), ("ben", ["agent"]))
    ],
}
KPI = """kpi: aht
title: {en: Average handling time}
unit: seconds
direction: lower_is_better
source: legs
where: answered and talk_ms is not null
value: avg(talk_ms) / 1000
min_sample: 1
"""
MAPPING = {
    "fields": {
        "contact": {"from": "id"},
        "started": {"from": "start"},
        "agent": {"from": "agent"},
        "channel": {"value": "voice"},
        "talk_ms": {"from": "talk", "unit": "s"},
        "answered": {"value": True},
    }
}
CALL = json.dumps({"id": "c1", "start": "2026-03-03T09:00:00Z", "agent": "ada", "talk": 60}).encode()
READING = {"kind": "reading", "title": {"en": "Read"}, "body": {"en": "Something."}}
FORM = {
    "form": "review",
    "title": {"en": "Review"},
    "kind": "evaluation",
    "schema": {"type": "object", "properties": {"comment": {"type": "string"}}},
}
RULE = {
    "rule": "r1",
    "kpi": "aht",
    "band": "coach",
    "template": "intro",
    "due_days": 7,
    "cooldown_days": 14,
    "max_open": 3,
}
GAME = {"rule": "g1", "kind": "training_completed", "points": 50, "title": {"en": "Finished"}}
BOARD = {"leaderboard": "all", "period": "total", "title": {"en": "All time"}}
NOTICE = {"rule": "n1", "on": "assignment.assigned", "to": "agent", "channels": ["in_app"]}
TEXT = {"en": {"subject": "New", "body": "Something new."}}
WEBHOOK = {"url": "https://example.org/hook", "events": ["assignment.assigned"]}

Client = Callable[..., httpx.AsyncClient]


async def set_up(client: Client) -> dict[str, str]:
    """Through the API, as its administrator. Returns what the ids in addresses may be filled with."""

    async def call(service: str, method: str, path: str, who: str = "boss", **kwargs: Any) -> Any:
        answer = await client(service, who).request(method, path, **kwargs)
        assert answer.is_success, (service, method, path, answer.text)
        return answer.json() if answer.content else None

    await call("ingest", "PUT", "/sources/calls", json={"vendor": "generic", "mapping": MAPPING})
    receipt = await call("ingest", "POST", "/sources/calls/records", content=CALL)
    found = await call("ingest", "GET", "/interactions?external_id=c1")
    await call("kpi-engine", "PUT", "/kpis/aht", content=KPI.replace("min_sample: 1", "min_sample: 2").encode())
    await call("training", "PUT", "/templates/intro", json=READING)
    await call("training", "POST", "/templates/intro/publish")
    assigned = await call("training", "POST", "/assignments", json={"agent": "boss", "template": "intro"})
    await call("training", "PUT", "/rules", json={"rules": [RULE]})
    await call("gamification", "PUT", "/rules", json={"rules": [GAME]})
    await call("gamification", "PUT", "/leaderboards/all", json=BOARD)
    await call("forms", "PUT", "/forms/review", json=FORM)
    await call("forms", "POST", "/forms/review/publish")
    answers = {"agent": "ada", "answers": {"comment": "good"}}
    submitted = await call("forms", "POST", "/forms/review/submissions", json=answers)
    await call("notification", "PUT", "/rules", json={"rules": [NOTICE]})
    await call("notification", "PUT", "/webhooks/crm", json=WEBHOOK)
    await call("notification", "PUT", "/texts/own", json=TEXT)
    for service, examples in EXAMPLES.items():
        for each in examples.set_up:
            await call(service, each["method"], each["path"], json=each["body"])
    return {
        "receipt": receipt["id"],
        "interaction": found["items"][0]["id"],
        "assignment": assigned["id"],
        "submission": submitted["id"],
    }
