"""Replica-hours of what ran, from a real Prometheus that holds two days of kube-state-metrics."""

import subprocess
import time
from collections.abc import Iterator

import pytest
from scaling.measurement import PrometheusError, measure_costs
from testkit.fixtures import started_or_skipped
from testkit.programs.program import find_tool
from testkit.programs.prometheus import CURE, Prometheus

pytestmark = pytest.mark.slow

HOURS = 48


def lines_of(namespace: str, deployment: str, replicas: list[int], now: int) -> Iterator[str]:
    """A sample a minute; `replicas` by hour, 0 for an hour without figures."""
    for minute in range(60 * HOURS):
        exporter = minute // (60 * 24)
        if count := replicas[minute // 60]:
            at = now - 60 * (60 * HOURS - 1 - minute)
            labels = f'namespace="{namespace}",deployment="{deployment}",instance="{exporter}"'
            yield f"kube_deployment_status_replicas{{{labels}}} {count} {at}\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    promtool = started_or_skipped(lambda: find_tool("promtool", CURE))
    now = int(time.time())
    shifts = [2] * 8 + [6] * 12 + [2] * 4
    series = {
        ("uplift", "uplift-ingest-api"): shifts * 2,
        ("uplift", "uplift-kpi-engine-work"): [0] * 24 + [3] * 24,
        ("uplift", "uplift-page"): [2] * HOURS,
        ("uplift", "other-ingest-api"): [9] * HOURS,
        ("elsewhere", "uplift-ingest-api"): [9] * HOURS,
    }
    lines = [
        line for (namespace, name), replicas in series.items() for line in lines_of(namespace, name, replicas, now)
    ]
    file = folder / "metrics.txt"
    file.write_text("# TYPE kube_deployment_status_replicas gauge\n" + "".join(lines) + "# EOF\n")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", file, folder / "data"], check=True, timeout=100
    )
    with started_or_skipped(lambda: Prometheus(folder)) as started:
        yield started.url


def test_replica_hours_are_those_that_ran(url: str) -> None:
    found = measure_costs(url, namespace="uplift", release="uplift", days=2)
    assert set(found) == {"ingest.api", "kpi-engine.work"}, "roles of this release, and not the page"
    ingest, work = found["ingest.api"], found["kpi-engine.work"]
    assert ingest.replica_hours == pytest.approx(2 * (12 * 2 + 12 * 6), rel=0.01)
    assert ingest.static_hours == pytest.approx(6 * 48, rel=0.01)
    assert ingest.saved == pytest.approx(1 / 3, abs=0.01)
    assert (work.replica_hours, work.static_hours) == pytest.approx((3 * 24, 3 * 24), rel=0.01), (
        "without what is unknown"
    )


def test_a_shorter_time(url: str) -> None:
    found = measure_costs(url, namespace="uplift", release="uplift", days=1)
    assert found["ingest.api"].replica_hours == pytest.approx(12 * 2 + 12 * 6, rel=0.01)


def test_what_cannot_be_measured_is_told(url: str) -> None:
    for address, release, words in (
        (url, "nobody", "no kube_deployment_status_replicas of nobody"),
        ("http://127.0.0.1:1", "uplift", "does not answer"),
        (url, '"', "no kube_deployment_status_replicas"),
    ):
        with pytest.raises(PrometheusError, match=words):
            measure_costs(address, namespace="uplift", release=release, days=2)
