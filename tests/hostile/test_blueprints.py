"""A blueprint that is made to hold its readers for ever is refused before anything of it is published, and another
customer's work goes on meanwhile within its usual time."""

import time
from typing import Any

import httpx
import pytest
from testkit import wait_for

from tests.flow.scenario import CALLS_A_DAY, blueprint, records_of, workday
from tests.flow.steps import post_records, set_up_tenant, user
from tests.flow.suite import PLAIN, Embedded

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

HOSTILE, OTHER = "hostile", "other"
BOSS, TRAINER = user("boss", HOSTILE), user("boss", OTHER)
USUAL_SECONDS = 30.0
"""For one agent's day to count, on a machine that others share; alone it takes less than one."""


@pytest.fixture(scope="module")
def suite(started: Embedded) -> Embedded:
    for tenant in (HOSTILE, OTHER):
        set_up_tenant(started, tenant)
    return started


def kpi(**changes: Any) -> dict[str, Any]:
    return {
        "kpi": "aht", "title": {"en": "x"}, "unit": "seconds", "direction": "lower_is_better", "source": "legs",
        "value": "avg(handle_ms) / 1000", **changes,
    }  # fmt: skip


def nested(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


# By service: a section that is hostile to it.
SECTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "types in types": ("kpi-engine", {"kpis": [kpi(value="decimal(" * 40 + "1" + ")" * 40)]}),
    "a sum without end": ("kpi-engine", {"kpis": [kpi(value="1" + "+1" * 1999)]}),
    "many of them": ("kpi-engine", {"kpis": [kpi(kpi=f"k{n}", where="decimal(" * 40) for n in range(190)]}),
    "too many models": ("kpi-engine", {"kpis": [kpi(kpi=f"k{n}") for n in range(500)]}),
    "nested models": ("kpi-engine", {"kpis": nested(50)}),
    "ranges": (
        "notification",
        {"texts": {"band.entered": {"en": {"subject": "x", "body": "{% for i in (1..999999999) offset: 999999990 %}{% endfor %}"}}}},
    ),
    "escaped again and again": (
        "notification",
        {"texts": {"band.entered": {"en": {"subject": "x", "body": "{{ title" + "|escape" * 500 + "}}"}}}},
    ),
    "nested conditions": (
        "forms",
        {"forms": [{"form": "f", "title": {"en": "x"}, "kind": "note", "schema": {"type": "object", "properties": {
            "a": {"type": "string", "pattern": "(a+)+$" * 100}}}, "logic": {"questions": {"a": {"all": nested(40)}}}}]},
    ),
    "nested trainings": ("training", {"templates": nested(50)}),
    "nested rules": ("gamification", {"rules": nested(50)}),
    "nested sources": ("ingest", {"sources": nested(50)}),
}  # fmt: skip


def counted(suite: Embedded, day: int) -> bool:
    params = {"by": "agent", "from": workday(day).isoformat(), "to": workday(day).isoformat()}
    found = suite.call(TRAINER, "GET", "/api/kpi-engine/v1/kpis/aht/values", params=params)["items"]
    return [each["sample"] for each in found] == [CALLS_A_DAY]


@pytest.mark.parametrize("name", SECTIONS)
def test_it_is_refused_and_others_work_goes_on(suite: Embedded, name: str) -> None:
    service, section = SECTIONS[name]
    day = 1 + list(SECTIONS).index(name)
    bundle = {"blueprint": name, "sections": {service: section}}
    refused = suite.request(BOSS, "PUT", f"/api/identity/v1/tenants/{HOSTILE}/blueprint", json=bundle)
    assert refused.status_code == 422, refused.text
    assert any(each["pointer"].startswith(f"/sections/{service}") for each in refused.json()["errors"])
    began = time.monotonic()
    post_records(suite, OTHER, records_of(day, ["cleo"]))
    wait_for(lambda: counted(suite, day), seconds=USUAL_SECONDS)
    assert time.monotonic() - began < USUAL_SECONDS
    assert httpx.get(f"{suite.url}/healthz", timeout=5, verify=PLAIN).is_success


def test_another_customers_blueprint_is_applied_behind_it(suite: Embedded) -> None:
    for name in ("types in types", "ranges"):
        service, section = SECTIONS[name]
        bundle = {"blueprint": f"{name} again", "sections": {service: section}}
        assert (
            suite.request(BOSS, "PUT", f"/api/identity/v1/tenants/{HOSTILE}/blueprint", json=bundle).status_code == 422
        )
    wanted = blueprint()["sections"]["kpi-engine"]
    bundle = {"blueprint": "mended", "sections": {"kpi-engine": wanted}}
    version = suite.call(TRAINER, "PUT", f"/api/identity/v1/tenants/{OTHER}/blueprint", json=bundle)["version"]
    path = f"/api/identity/v1/tenants/{OTHER}"
    wait_for(
        lambda: suite.call(TRAINER, "GET", path)["services"]["kpi-engine"]["applied_version"] == version,
        seconds=USUAL_SECONDS,
    )


@pytest.mark.parametrize(
    "value", ["decimal(" * 15 + "1" + ")" * 15, "1" + "+1" * 1999, "(" * 4000], ids=["types", "a sum", "parentheses"]
)
def test_a_check_answers_at_once(suite: Embedded, value: str) -> None:
    began = time.monotonic()
    answer = suite.request(BOSS, "PUT", "/api/kpi-engine/v1/kpis/aht?dry_run=true", json=kpi(value=value))
    assert answer.status_code == 422
    assert all(problem["line"] and problem["column"] and problem["cure"] for problem in answer.json()["errors"])
    assert time.monotonic() - began < USUAL_SECONDS
