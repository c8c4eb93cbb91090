"""For every write a request that it takes, in an order in which each finds what it needs."""

from dataclasses import dataclass, field
from typing import Any

from contracts import ALL_SERVICES

from tests.examples import EXAMPLES, qualify
from tests.hostile.set_up import BOARD, CALL, FORM, GAME, KPI, MAPPING, NOTICE, PEOPLE, READING, RULE, TEXT, WEBHOOK

PERSON = {"slug": "new", "display_name": "New"}


@dataclass(frozen=True)
class Write:
    """`name` as a route's; `ids` fill its address otherwise than the set-up does."""

    name: str
    body: Any = None
    content: bytes | None = None
    who: str = "boss"
    ids: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


WRITES = [
    Write("POST identity/people", PERSON),
    Write("POST identity/people/import", content=b"slug,display_name\nimported,Imported\n", headers={"content-type": "text/csv"}),
    Write("PATCH identity/people/{person}", {"display_name": "Ada L."}),
    Write("POST identity/org-units", {"slug": "team-n", "name": "Team N", "kind": "team", "parent": "site"}),
    Write("PATCH identity/org-units/{org_unit}", {"name": "Team One"}),
    Write("POST identity/tenants", {"slug": "other", "name": "Other"}, who="root"),
    Write("PATCH identity/tenants/{tenant}", {"name": "Acme 2"}),
    Write("PUT identity/tenants/{tenant}/blueprint", {"blueprint": "centre", "sections": {"identity": {**PEOPLE, "org_units": [*PEOPLE["org_units"], {"slug": "team-n", "name": "Team N", "kind": "team", "parent": "site"}, {"slug": "team-m", "name": "Team M", "parent": "site"}]}}}),
    Write("PUT ingest/sources/{source}", {"vendor": "generic", "mapping": MAPPING, "status": "active"}),
    Write("POST ingest/sources/{source}/records", content=CALL.replace(b"c1", b"c2")),
    Write("POST ingest/receipts/{receipt}/replay"),
    Write("DELETE ingest/receipts/{receipt}"),
    Write("PUT kpi-engine/kpis/{kpi}", content=KPI.encode(), headers={"content-type": "application/yaml"}),
    Write("PUT training/templates/{template}", {**READING, "minutes": 7}),
    Write("POST training/templates/{template}/publish", {"at": "2999-01-01T09:00:00Z"}),
    Write("DELETE training/templates/{template}/publish"),
    Write("PUT training/rules", {"rules": [{**RULE, "due_days": 8}]}),
    Write("PUT training/rules/{rule}", {**RULE, "due_days": 9}),
    Write("POST training/assignments", {"agent": "ada", "template": "intro"}),
    Write("POST training/assignments/{assignment}/start"),
    Write("POST training/assignments/{assignment}/complete", {"answers": {}}),
    Write("PUT gamification/rules", {"rules": [{**GAME, "points": 60}]}),
    Write("PUT gamification/rules/{rule}", {**GAME, "points": 70}),
    Write("PUT gamification/leaderboards/{leaderboard}", {**BOARD, "title": {"en": "All"}}),
    Write("PUT forms/forms/{form}", {**FORM, "title": {"en": "Review 2"}}),
    Write("POST forms/forms/{form}/publish"),
    Write("POST forms/forms/{form}/submissions", {"agent": "ada", "answers": {"comment": "again"}}),
    Write("PUT forms/forms/{form}/submissions/{submission}", {"answers": {"comment": "better"}}),
    Write("DELETE forms/forms/{form}/submissions/{submission}"),
    Write("POST notification/inbox/read-all"),
    Write("PUT notification/rules", {"rules": [NOTICE]}),
    Write("PUT notification/rules/{rule}", {**NOTICE, "channels": ["email"]}),
    Write("PUT notification/texts", {"texts": {"own": TEXT}}),
    Write("PUT notification/texts/{text}", TEXT),
    Write("PUT notification/webhooks/{webhook}", WEBHOOK),
    Write("POST notification/webhooks/{webhook}/test"),
    Write("DELETE notification/webhooks/{webhook}"),
    Write("DELETE ingest/sources/{source}"),
    Write("DELETE kpi-engine/kpis/{kpi}"),
    Write("DELETE forms/forms/{form}"),
    Write("DELETE notification/rules/{rule}"),
    Write("DELETE notification/texts/{text}"),
    Write("DELETE training/rules/{rule}"),
    Write("DELETE training/templates/{template}"),
    Write("DELETE gamification/leaderboards/{leaderboard}"),
    Write("DELETE gamification/rules/{rule}"),
    *(Write(qualify(service, write["route"]), write.get("body")) for service, each in EXAMPLES.items() for write in each.writes),
]  # fmt: skip

NEEDS_MORE = {
    "POST identity/tenants/{tenant}/clock": "a simulated tenant",
    "PUT identity/tenants/{tenant}/applications/{application}": "a login provider",
    "DELETE identity/tenants/{tenant}/applications/{application}": "a login provider",
    "PUT identity/tenants/{tenant}/identity-provider": "a login provider",
    "DELETE identity/tenants/{tenant}/identity-provider": "a login provider",
    "POST identity/people/{person}/account": "a login provider",
    "DELETE identity/people/{person}/account": "a login provider",
    "POST identity/back-channel-logout": "the issuer's signature",
    "DELETE training/assignments/{assignment}": "one that is not finished: tests/hostile/test_retiring.py",
    "POST ingest/receipts/{receipt}/cancel": "a body that is being read",
    "POST notification/inbox/{notice}/read": "a notice",
    "POST notification/webhooks/{webhook}/deliveries/{delivery}/retry": "a delivery that failed",
    **{
        f"POST {service}/blueprint-section/check": "it changes nothing: tests/flow/test_dry_run.py"
        for service in ALL_SERVICES[1:]
    },
    **{f"POST {service}/dead-letters/{{dead_letter}}/replay": "a dead letter" for service in ALL_SERVICES},
}
"""Writes that find nothing to do here, and why."""
