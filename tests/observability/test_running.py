"""A real Prometheus on the running whole has an answer to every question of the dashboards and alerts."""

import httpx
from testkit.programs.prometheus import Prometheus, query

from tests.flow.scenario import records_of
from tests.flow.steps import send, set_up_tenant
from tests.observability.questions import require_answers
from tests.observability.whole import Whole


def test_every_panel_and_alert_has_data(running: Whole, prometheus: Prometheus) -> None:
    prometheus.watch([f"127.0.0.1:{running.port}"])
    set_up_tenant(running, "t1")
    received = 0
    for day in range(7):
        received += send(running, "t1", records_of(day))["received"]
    running.settle()
    require_answers(prometheus.url)
    _figures_are_those_of_the_api(running, received)


def _figures_are_those_of_the_api(running: Whole, received: int) -> None:
    assignments = running.all_items("boss", "/api/training/v1/assignments")
    ledger = running.all_items("boss", "/api/gamification/v1/ledger")
    assert assignments
    assert ledger
    found = _figures(running)
    assert sum(count for name, count in found.items() if name.startswith("uplift_records_total")) == received
    assert found['uplift_assignments_total{change="assigned"}'] == len(assignments)
    granted = sum(each["points"] for each in ledger if each["points"] > 0)
    assert found['uplift_points_total{change="granted"}'] == granted
    assert found['uplift_bands_total{change="entered"}'] > 0
    assert found["uplift_notices_total"] > 0
    silence = (
        found['uplift_call_seconds_total{part="silence"}'] / found['uplift_call_seconds_total{part="conversation"}']
    )
    assert 0.3 < silence < 0.75, "as the scenario has it"
    assert not [name for name in found if "t1" in name or "ada" in name], "no customer and no person is a label"


def _figures(running: Whole) -> dict[str, float]:
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_routes_are_templates_and_carry_their_service(running: Whole) -> None:
    running.raw("platform", "GET", "/api/identity/v1/tenants")
    running.raw("platform", "GET", "/api/identity/v1/tenants/nobody-of-this-name")
    running.raw("platform", "GET", "/api/identity/v1/no/such/page")
    httpx.request("HACK", f"{running.url}/api/identity/v1/tenants")
    found = [name for name in _figures(running) if name.startswith("uplift_http_requests_total")]
    assert (
        'uplift_http_requests_total{method="GET",route="/api/identity/v1/tenants/{slug}",service="identity",status="4xx"}'
        in found
    )
    assert not [name for name in found if "nobody" in name or "HACK" in name or "no/such" in name]
    assert any('route="none"' in name for name in found)


def test_prometheus_refuses_nothing_that_it_scrapes(running: Whole, prometheus: Prometheus) -> None:
    prometheus.watch([f"127.0.0.1:{running.port}"])
    require_answers(prometheus.url)
    assert query(prometheus.url, 'up{job="uplift"} == 1')
