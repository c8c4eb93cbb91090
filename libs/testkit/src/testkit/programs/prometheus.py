"""Prometheus, as installed on this machine."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from testkit.paths import ROOT
from testkit.programs.program import Program, find_tool, free_port

CURE = "install it (Debian: prometheus)"
RULES = ROOT / "charts/uplift/observability/alerts.yaml"

CONFIGURATION = """
global: {{scrape_interval: {every}, evaluation_interval: {every}}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: uplift
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 1s}}]
"""


class Prometheus(Program):
    """`with Prometheus(folder, targets=["127.0.0.1:8101"]) as prometheus:` starts it; `prometheus.url` is its URL. It scrapes
    the targets as the job `uplift` and evaluates the alert rules, both at the interval `every`."""

    def __init__(
        self, folder: Path, *, port: int | None = None, targets: Sequence[str] = (), every: str = "5s"
    ) -> None:
        self.port = port or free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.set_targets(targets)
        configuration = folder / "prometheus.yaml"
        configuration.write_text(CONFIGURATION.format(every=every, rules=RULES, targets=folder / "targets.json"))
        super().__init__(
            "Prometheus",
            [
                find_tool("prometheus", CURE), f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=folder / "prometheus.log",
            ready=self._answers,
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def set_targets(self, targets: Sequence[str]) -> None:
        """Replaces the targets, `host:port`; a running Prometheus takes them over within a second."""
        draft = self._folder / "targets.new"
        draft.write_text(json.dumps([{"targets": list(targets)}]))
        draft.rename(self._folder / "targets.json")


def query(url: str, expr: str) -> list[dict[str, Any]]:
    """The result of an instant query. Raises AssertionError with Prometheus's message when it refuses the query."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expr}, timeout=30).json()
    assert answer["status"] == "success", f"{expr}: {answer}"
    found = answer["data"]["result"]
    return found if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": found}]
