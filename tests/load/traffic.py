"""The calls of the load test: many agents, two weeks, numbers that vary."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.flow.scenario import SOURCE, analysis, contact

AGENTS = 200
DAYS = 10
FRESH_QUEUE = "Fresh"


def call(number: int, *, agent: str | None = None, silence: int | None = None) -> Iterator[dict[str, Any]]:
    """The contact record and the analysis of one call. A given agent's call is on a day and in a queue of its own."""
    day = DAYS if agent else number // AGENTS % DAYS
    turn = number // (AGENTS * DAYS) % 24
    name = agent or f"agent-{number % AGENTS:03d}"
    record = contact(name, day, turn)
    report = analysis("cleo", day, turn)
    if agent:
        record["Queue"]["Name"] = FRESH_QUEUE
    record["ContactId"] = report["CustomerMetadata"]["ContactId"] = f"{name}-{number}"
    silent = 2000 * (silence if silence is not None else 20 + number * 7 % 60)
    report["ConversationCharacteristics"]["NonTalkTime"] = {
        "TotalTimeMillis": silent,
        "Instances": [{"BeginOffsetMillis": 1000, "DurationMillis": silent, "EndOffsetMillis": 1000 + silent}],
    }
    yield record
    yield report


def load_blueprint(bundle: dict[str, Any], fresh: int) -> dict[str, Any]:
    """The flow test's tenant with the load's people, and one KPI more, whose band one call of the queue `Fresh` is enough
    to enter."""
    bundle = deepcopy(bundle)
    sections = bundle["sections"]
    names = [f"agent-{number:03d}" for number in range(AGENTS)] + [f"fresh-{number:04d}" for number in range(fresh)]
    sections["identity"]["people"] = [
        {"slug": "boss", "display_name": "Boss", "login": "boss", "roles": [{"role": "tenant_admin"}]},
        *(
            {
                "slug": name,
                "display_name": name,
                "roles": [{"role": "agent", "org_unit": "team-a"}],
                "external_ids": [{"source": SOURCE, "external_id": name}],
                "memberships": [{"org_unit": "team-a", "valid_from": "2025-01-01"}],
            }
            for name in names
        ),
    ]
    usual = sections["kpi-engine"]["kpis"][0]
    at_once = deepcopy(usual) | {"kpi": "silence_at_once", "min_sample": 1}
    at_once["where"] = f"queue = '{FRESH_QUEUE}' and conversation_ms > 0"
    at_once["bands"]["enter"] = at_once["bands"]["leave"] = {"x": 1, "of": 1}
    sections["kpi-engine"]["kpis"].append(at_once)
    template, rule = sections["training"]["templates"][0], sections["training"]["rules"][0]
    sections["training"]["templates"].append({**template, "template": "load"})
    sections["training"]["rules"].append({**rule, "rule": "load", "kpi": "silence_at_once", "template": "load"})
    return bundle
