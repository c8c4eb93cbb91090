"""Every question that dashboards and alerts ask, and whether a Prometheus has an answer. For any shape: it takes a URL."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from testkit import wait_for
from testkit.programs.prometheus import query

FOLDER = Path(__file__).parents[2] / "charts/uplift/observability"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
RULES = [FOLDER / "alerts.yaml", FOLDER / "infrastructure.yaml"]
OF_OTHERS = "infrastructure"
"""Rules and dashboard of what brings exporters of its own: operators in a cluster."""
METRIC = re.compile(r"\b(uplift[a-z_:0-9]+|up|process_[a-z_]+)(?=[{\[)\s]|$)")


@dataclass(frozen=True)
class MonitoringQuery:
    where: str
    expr: str


def panels(dashboard: Path) -> list[dict[str, Any]]:
    return json.loads(dashboard.read_text())["panels"]


def promql(dashboards: Sequence[Path] = DASHBOARDS) -> Iterator[MonitoringQuery]:
    """Of all panels, as Grafana would ask it."""
    for dashboard in dashboards:
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                if "expr" in target:
                    expr = target["expr"].replace("$__rate_interval", "1m")
                    yield MonitoringQuery(f"{dashboard.stem}: {panel['title']}", expr)


def sql() -> Iterator[MonitoringQuery]:
    """Of all panels that ask a database, with Grafana's macros replaced by a span of time."""
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                if "rawSql" in target:
                    asked = target["rawSql"].replace("$__timeFrom()", "'2026-01-01T00:00:00Z'::timestamptz")
                    asked = asked.replace("$__timeTo()", "'2026-12-31T00:00:00Z'::timestamptz")
                    yield MonitoringQuery(f"{dashboard.stem}: {panel['title']}", asked)


def rules(files: Sequence[Path] = RULES) -> list[dict[str, Any]]:
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def find_unanswered(url: str) -> list[str]:
    """Of our own metrics: panels without data, and alerts that ask for a metric that is not there. An alert itself finds nothing on a good
    day; labels that only a bad day knows are not asked for."""
    ours = [each for each in DASHBOARDS if each.stem != OF_OTHERS]
    silent = [f"{each.where}: {each.expr}" for each in promql(ours) if not query(url, each.expr)]
    for rule in rules([each for each in RULES if each.stem != OF_OTHERS]):
        for metric in set(METRIC.findall(rule["expr"])):
            if not query(url, metric):
                silent.append(f"alert {rule.get('alert') or rule['record']}: {metric}")
        query(url, rule["expr"])
    return silent


def require_answers(url: str, *, seconds: float = 60) -> None:
    """Raises AssertionError with what has no data after that time: a rate needs two scrapes, a rule an evaluation."""
    silent: list[str] = []

    def has_answers() -> bool:
        silent[:] = find_unanswered(url)
        return not silent

    try:
        wait_for(has_answers, seconds=seconds, every=0.5)
    except AssertionError:
        raise AssertionError("no data for:\n" + "\n".join(silent)) from None
