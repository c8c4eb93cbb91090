"""Helm installs, upgrades, rolls back and removes releases in a cluster whose controllers are real; kwok stands for the kubelets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from testkit.programs.helm import HelmFailed
from testkit.programs.kubernetes_cluster import Cluster

from tests.charts.cluster import (
    Event,
    Release,
    create_namespace,
    find_objects,
    find_shortfalls,
    wait_for_objects,
)
from tests.charts.conftest import SCALING
from tests.charts.objects import Object

pytestmark = pytest.mark.cluster

NewRelease = Callable[..., Release]
JOBS = ("migrate", "topics", "provision")
THREE: dict[str, Any] = {"roles": {"api": {"replicas": 3}, "work": {"replicas": 2}}}


@pytest.fixture
def new_release(cluster: Cluster, chart: Path, tmp_path: Path) -> NewRelease:
    def made(namespace: str, environment: str = "dev", values: Mapping[str, Any] = {}) -> Release:
        create_namespace(cluster, namespace)
        folder = tmp_path / namespace
        folder.mkdir()
        return Release(cluster, chart, namespace, folder, environment, values)

    return made


def _has_ended(job: Object, condition: str = "Complete") -> bool:
    conditions = job["status"].get("conditions", ())
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _first(events: list[Event], name: str, condition: str | None = None) -> int:
    """The revision with which an object was there, or a Job had ended so."""
    return next(
        each.revision
        for each in events
        if each.name == name and (condition is None or _has_ended(each.object, condition))
    )


def test_an_environment_is_installed_in_order(new_release: NewRelease, environment: str) -> None:
    release = new_release(f"install-{environment}", environment, SCALING if environment == "prod" else {})
    with release.watch() as watch:
        release.apply("install", "0.1.0")
    deployments = release.deployments()
    assert len(deployments) == 15
    assert all(each["status"]["availableReplicas"] == each["spec"]["replicas"] for each in deployments.values())
    assert release.jobs().keys() == set(JOBS)
    revisions = [
        at
        for job in JOBS
        for at in (
            _first(watch.events, f"Job uplift-{job}"),
            _first(watch.events, f"Job uplift-{job}", "Complete"),
        )
    ]
    revisions.append(min(_first(watch.events, f"Deployment {name}") for name in deployments))
    assert revisions == sorted(revisions)


def test_an_upgrade_takes_no_pod_before_its_successor_is_ready(new_release: NewRelease) -> None:
    release = new_release("upgrade", values=THREE)
    release.apply("install", "0.1.0")
    before = {name: job["metadata"]["uid"] for name, job in release.jobs().items()}
    with release.watch() as watch:
        release.apply("upgrade", "0.2.0")
        assert release.tags() == {"0.2.0"}
        upgraded = {name: job["metadata"]["uid"] for name, job in release.jobs().items()}
        assert upgraded.keys() == before.keys()
        assert not set(upgraded.values()) & set(before.values())
        release.roll_back(1)
    assert find_shortfalls(watch.events) == []
    assert release.tags() == {"0.1.0"}
    assert release.states() == ["superseded", "superseded", "deployed"]
    # A rollback runs no hook: the schemas stay.
    assert {name: job["metadata"]["uid"] for name, job in release.jobs().items()} == upgraded


def test_a_failing_migration_leaves_the_old_version_serving(new_release: NewRelease) -> None:
    release = new_release("failure", values=THREE)
    release.apply("install", "0.1.0")
    topics = release.jobs()["topics"]["metadata"]["uid"]
    with release.watch() as watch:
        with pytest.raises(HelmFailed, match="job uplift-migrate failed: BackoffLimitExceeded"):
            release.apply("upgrade", "0.2.0-fails")
        assert release.tags() == {"0.1.0"}
        assert release.jobs()["topics"]["metadata"]["uid"] == topics
        assert _has_ended(release.jobs()["migrate"], "Failed")
        assert release.states() == ["deployed", "failed"]
        release.apply("upgrade", "0.2.1")
    assert find_shortfalls(watch.events) == []
    assert release.tags() == {"0.2.1"}
    assert release.states()[-1] == "deployed"


def test_replicas_that_an_autoscaler_set_outlive_an_upgrade(new_release: NewRelease) -> None:
    release = new_release("scaled", "staging", SCALING)
    release.apply("install", "0.1.0")
    path = f"/apis/apps/v1/namespaces/{release.namespace}/deployments/uplift-ingest-api/scale"
    patch = {"content-type": "application/merge-patch+json"}
    release.cluster.http.patch(path, json={"spec": {"replicas": 5}}, headers=patch).raise_for_status()
    with release.watch() as watch:
        release.apply("upgrade", "0.2.0")
    assert release.deployments()["uplift-ingest-api"]["spec"]["replicas"] == 5
    assert find_shortfalls(watch.events) == []


def test_releases_in_two_namespaces_do_not_touch_one_another(new_release: NewRelease, cluster: Cluster) -> None:
    first, second = (new_release(name, "staging") for name in ("one", "two"))
    empty = find_objects(cluster, "two")
    grants = find_objects(cluster, "keycloak")
    first.apply("install", "0.1.0")
    with first.watch() as watch:
        second.apply("install", "0.2.0")
        second.uninstall()
    assert first.tags() == {"0.1.0"}
    assert find_shortfalls(watch.events) == []
    wait_for_objects(cluster, "two", empty)
    first.uninstall()
    wait_for_objects(cluster, "keycloak", grants)
