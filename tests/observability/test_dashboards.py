"""Dashboards, rules, runbooks and provisioning fit together."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import sqlglot
import yaml
from all_in_one.docs import list_all_metrics
from servicekit import Service
from sqlglot import exp
from storage import schema_name
from storage.report_views import list_report_views
from testkit.dashboards import DASHBOARDS as MADE
from testkit.dashboards import find_stale_dashboards
from testkit.fixtures import started_or_skipped
from testkit.programs.program import find_tool
from testkit.programs.prometheus import CURE
from testkit.schemas import find_tables

from tests.observability.monitoring_queries import DASHBOARDS, FOLDER, METRIC, RULES, panels, promql, rules, sql

ROOT = FOLDER.parents[2]


def test_the_files_are_what_their_generator_makes() -> None:
    assert find_stale_dashboards() == [], "run `python -m testkit.dashboards --write`"
    assert {each.name for each in DASHBOARDS} == set(MADE)


def test_a_stale_file_is_told(tmp_path: Path) -> None:
    assert find_stale_dashboards(tmp_path) == list(MADE)


def test_panels_read_report_views_and_no_table(services: Sequence[Service]) -> None:
    """A panel that names a table would hold the table's shape fast, and its reader has no right to it (ADR 37)."""
    described = {
        f"{schema_name(service.name)}.{view}"
        for service in services
        for view in list_report_views(find_tables(service))
    }
    named: dict[str, str] = {}
    for each in sql():
        tables = list(sqlglot.parse_one(each.expr, dialect="postgres").find_all(exp.Table))
        assert tables, each.where
        named |= {f"{table.db}.{table.name}": each.where for table in tables}
    assert {name: where for name, where in named.items() if name not in described} == {}


def test_every_dashboard_has_a_name_of_its_own() -> None:
    names = [json.loads(each.read_text())["uid"] for each in DASHBOARDS]
    assert len(set(names)) == len(names)
    assert all(names)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.stem)
def test_panels_lie_beside_one_another(dashboard: Path) -> None:
    found = panels(dashboard)
    assert [count for count in Counter(each["id"] for each in found).values() if count > 1] == []
    for one, other in combinations([each["gridPos"] for each in found], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(each["gridPos"]["x"] + each["gridPos"]["w"] <= 24 for each in found)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.stem)
def test_panels_ask_a_source_that_somebody_can_choose(dashboard: Path) -> None:
    variables = {
        f"${{{each['name']}}}": each["query"] for each in json.loads(dashboard.read_text())["templating"]["list"]
    }
    for panel in panels(dashboard):
        if panel["type"] != "row":
            source = panel["datasource"]
            assert variables[source["uid"]] == source["type"], panel["title"]
            assert panel["targets"], panel["title"]


def test_every_question_is_promql() -> None:
    for expr in [each.expr for each in promql()] + [rule["expr"] for rule in rules()]:
        promql_parser.parse(expr)


def declared_metrics() -> Iterator[tuple[str, str]]:
    """Name and kind of every metric."""
    for each in list_all_metrics():
        described = next(iter(each.describe()))
        yield described.name, described.type


def test_every_metric_asked_for_is_declared() -> None:
    declared = dict(declared_metrics())
    known = {f"{name}_total" if kind == "counter" else name for name, kind in declared.items()}
    known |= {
        f"{name}_{part}"
        for name, kind in declared.items()
        if kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    known |= {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for each in promql() for name in METRIC.findall(each.expr)}
    asked |= {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    assert {name for name in asked if name.startswith("uplift")} <= known
    shown = {name for name in known if any(name.startswith(each.removesuffix("_bucket")) for each in asked)}
    assert {name for name, kind in declared.items() if kind == "counter"} <= {
        each.removesuffix("_total") for each in shown
    }


def test_every_alert_has_its_page() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    pages = ROOT / "docs/runbooks"
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["summary"], name
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        page = (pages / f"{name}.md").read_text()
        assert page.startswith(f"# {name}\n\nSeverity: {rule['labels']['severity']}.\n"), name
        assert all(f"\n## {part}\n" in page for part in ("What it means", "How to see it", "What to do")), name
        assert f"({name}.md)" in (pages / "README.md").read_text(), name
    assert {each.stem for each in pages.glob("Uplift*.md")} == set(alerts)


def test_pages_lead_somewhere_and_ask_for_metrics_that_exist() -> None:
    known = {name for name, _ in declared_metrics()}
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        text = page.read_text()
        for part in text.split("](")[1:]:
            assert (page.parent / part.partition(")")[0]).exists(), f"{page.name}: {part[:40]}"
        for name in METRIC.findall(text):
            if name.startswith("uplift_"):
                assert any(name.startswith(each) for each in known), f"{page.name}: {name}"


def test_promtool_takes_the_rules_and_they_do_what_their_tests_say() -> None:
    promtool = started_or_skipped(lambda: find_tool("promtool", CURE))
    names = [each.stem for each in RULES]
    for command in (
        ["check", "rules", *(f"{name}.yaml" for name in names)],
        ["test", "rules", *(f"{name}_test.yaml" for name in names)],
    ):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = [each for name in names for each in yaml.safe_load((FOLDER / f"{name}_test.yaml").read_text())["tests"]]
    fired = {each["alertname"] for group in tested for each in group.get("alert_rule_test", ()) if each["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}, "every alert fires in a test"


def test_prometheus_of_compose_asks_every_process_of_ours() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ours = {f"{name}:8000" for name, each in services.items() if {"api", "work"} & set(each.get("command") or ())}
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["job_name"] == "uplift"
    assert set(job["static_configs"][0]["targets"]) == ours


def test_provisioning_names_what_compose_has() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    provisioned = FOLDER / "grafana/provisioning"
    sources = yaml.safe_load((provisioned / "datasources/uplift.yaml").read_text())["datasources"]
    assert len({each["uid"] for each in sources}) == len(sources)
    for each in sources:
        host = each["url"].removeprefix("http://").partition(":")[0]
        assert host in services, each["name"]
    (provider,) = yaml.safe_load((provisioned / "dashboards/uplift.yaml").read_text())["providers"]
    assert any(provider["options"]["path"] in volume for volume in services["grafana"]["volumes"])
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    pipeline = collector["service"]["pipelines"]["traces"]
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline[part]) == set(collector[part])
    assert collector["exporters"]["otlp/jaeger"]["endpoint"].partition(":")[0] in services
