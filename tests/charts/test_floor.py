"""Without KEDA: `uplift scaling apply` moves minReplicas of the release's HPAs, with rights on nothing else, and neither an
upgrade nor a GitOps controller moves it back. A real Helm installs into a real API server; no pod runs there."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from all_in_one.main import app
from all_in_one.scaling_figures import PARTITIONS
from scaling import floor_during, read_schedule
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder
from testkit.programs.helm import run_helm
from testkit.programs.kubernetes import TOKEN, ApiServer
from typer.testing import CliRunner, Result

from tests.architecture.files import ROOT
from tests.charts.conftest import Render
from tests.charts.objects import Object, Objects

pytestmark = pytest.mark.cluster

NAMESPACE = "uplift"
DAY, NIGHT, HOLIDAY = (
    "2026-12-01T03:00:00",
    "2026-12-01T18:00:00",
    "2027-01-01T03:00:00",
)  # 11:00, 02:00, 11:00 in Shanghai
FLOORS = {
    "uplift-identity-api": (3, 2), "uplift-identity-work": (1, 1), "uplift-ingest-api": (10, 2), "uplift-ingest-work": (1, 1),
    "uplift-kpi-engine-api": (4, 2), "uplift-kpi-engine-work": (6, 1),
}  # fmt: skip
"""By day and by night, read by hand from charts/uplift/shifts/prod.yaml."""


def values() -> dict[str, Any]:
    """A plain installation with the committed shifts of prod."""
    rendered: dict[str, Any] = yaml.safe_load((ROOT / "charts/uplift/values/scaling-prod.yaml").read_text())
    return {**rendered, "autoscaling": "hpa"}


@pytest.fixture(scope="module")
def objects(render: Render) -> Objects:
    return render("prod", values())


class Cluster:
    """An API server with the release in it, and the files that the CronJob's pod would have."""

    def __init__(self, server: ApiServer, folder: Path, chart: Path) -> None:
        self.server, self._folder, self._chart = server, folder, chart
        self.url = str(server.http.base_url).rstrip("/")
        self.shifts = folder / "shifts.yaml"
        self.account = folder / "account"
        self.account.mkdir()
        authority = folder / "kubernetes/certificates/apiserver.crt"
        (self.account / "namespace").write_text(NAMESPACE)
        shutil.copy(authority, self.account / "ca.crt")
        cluster = {"server": self.url, "certificate-authority": str(authority)}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": TOKEN}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": NAMESPACE}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        for name in (NAMESPACE, "keycloak"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            server.create(namespace).raise_for_status()

    def upgrade(self, given: dict[str, Any]) -> None:
        """`helm upgrade --install`, without its hooks: no Job would ever end."""
        file = self._folder / "values.yaml"
        file.write_text(yaml.safe_dump(given))
        prod = self._chart / "values/prod.yaml"
        run_helm(
            "upgrade", "--install", "uplift", self._chart, "--namespace", NAMESPACE, "--no-hooks", "--reset-values",
            "--kubeconfig", self._folder / "kubeconfig", "--values", prod, "--values", file,
        )  # fmt: skip
        self.shifts.write_text(self.get("/api/v1", "configmaps/uplift-floor").json()["data"]["shifts.yaml"])
        if not (self.account / "token").exists():
            path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/uplift-floor/token"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            token = self.server.http.post(path, json=body).raise_for_status().json()["status"]["token"]
            (self.account / "token").write_text(token)

    def get(self, group: str, path: str) -> httpx.Response:
        return self.server.http.get(f"{group}/namespaces/{NAMESPACE}/{path}").raise_for_status()

    def apply(self, at: str) -> Result:
        return CliRunner().invoke(
            app,
            ["scaling", "apply", str(self.shifts), "--account", str(self.account), "--api", self.url, "--at", at],
        )

    def minimums(self) -> dict[str, int]:
        items = self.get("/apis/autoscaling/v2", "horizontalpodautoscalers").json()["items"]
        return {each["metadata"]["name"]: each["spec"]["minReplicas"] for each in items}

    def as_pod(self, method: str, path: str, **options: Any) -> int:
        """The status that the CronJob's pod gets."""
        token = (self.account / "token").read_text()
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        return self.server.http.request(method, path, headers=headers, **options).status_code


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, chart: Path) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with started_or_skipped(lambda: ApiServer(folder / "kubernetes")) as server:
        for file in started_or_skipped(crd_folder).iterdir():
            for each in yaml.safe_load_all(file.read_text()):
                server.create(each).raise_for_status()
        server.wait_for_kinds(["gateway.envoyproxy.io/v1alpha1", "external-secrets.io/v1", "monitoring.coreos.com/v1"])
        cluster = Cluster(server, folder, chart)
        cluster.upgrade(values())
        yield cluster


def test_minimum_replicas_follow_the_clock(cluster: Cluster) -> None:
    for at, column in ((DAY, 0), (NIGHT, 1), (HOLIDAY, 1)):
        done = cluster.apply(at)
        assert done.exit_code == 0, done.output
        assert cluster.minimums() == {name: each[column] for name, each in FLOORS.items()}, at


def test_what_opens_before_the_next_run_counts_already(cluster: Cluster) -> None:
    """Pods of the window at 08:30 start at 08:15 in Shanghai, 00:15 UTC."""
    for at, replicas in (("2026-12-01T00:09:00", 2), ("2026-12-01T00:10:00", 6)):
        assert cluster.apply(at).exit_code == 0
        assert cluster.minimums()["uplift-ingest-api"] == replicas
    text = cluster.shifts.read_text()
    schedule = read_schedule(text, partitions=PARTITIONS, years_from=datetime(2026, 1, 1, tzinfo=UTC).date())
    ingest = next(each for each in schedule.roles if (each.service, each.role) == ("ingest", "api"))
    assert floor_during(ingest, datetime(2026, 12, 1, 0, 10, tzinfo=UTC), 5) == 6


def test_an_upgrade_does_not_reset_them(cluster: Cluster) -> None:
    assert cluster.apply(DAY).exit_code == 0
    before = cluster.minimums()
    cluster.upgrade({**values(), "image": {"tag": "0.2.0"}, "roles": {"api": {"cpuUtilization": 60}}})
    utilization = cluster.get("/apis/autoscaling/v2", "horizontalpodautoscalers/uplift-ingest-api").json()
    assert utilization["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60, "it was upgraded"
    assert cluster.minimums() == before
    assert before["uplift-ingest-api"] == 10


def test_a_gitops_controller_does_not_reset_them(cluster: Cluster, objects: Objects) -> None:
    """Argo CD and Flux apply at the server, and again whenever it differs."""
    assert cluster.apply(DAY).exit_code == 0
    for name, hpa in objects.of_kind("HorizontalPodAutoscaler").items():
        path = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{name}"
        cluster.server.http.patch(
            path,
            content=yaml.safe_dump(hpa),
            headers={"content-type": "application/apply-patch+yaml"},
            params={"fieldManager": "argocd", "force": "true"},
        ).raise_for_status()
    assert cluster.minimums() == {name: each[0] for name, each in FLOORS.items()}


def test_its_account_may_patch_these_and_nothing_else(cluster: Cluster) -> None:
    autoscalers = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
    own = f"{autoscalers}/uplift-ingest-api"
    patch = {"headers": {"content-type": "application/merge-patch+json"}, "json": {"spec": {"minReplicas": 3}}}
    assert cluster.as_pod("PATCH", own, **patch) == 200
    refused = [
        ("PATCH", f"{autoscalers}/somebody-elses", patch),
        ("PATCH", own.replace(f"namespaces/{NAMESPACE}", "namespaces/default"), patch),
        ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/uplift-ingest-api", patch),
        ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/uplift-ingest-api/scale", patch),
        ("GET", own, {}),
        ("GET", autoscalers, {}),
        ("DELETE", own, {}),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/uplift-services", {}),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods", {}),
    ]
    assert [cluster.as_pod(method, path, **options) for method, path, options in refused] == [403] * len(refused)


def test_one_that_fails_is_told_and_the_others_are_moved(cluster: Cluster) -> None:
    assert cluster.apply(NIGHT).exit_code == 0
    path = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/uplift-identity-api"
    cluster.server.http.delete(path).raise_for_status()
    done = cluster.apply(DAY)
    assert done.exit_code == 1
    assert (
        'uplift-identity-api: 404: horizontalpodautoscalers.autoscaling "uplift-identity-api" not found' in done.output
    )
    assert cluster.minimums() == {name: each[0] for name, each in FLOORS.items() if name != "uplift-identity-api"}, (
        "also those after it"
    )


def test_outside_of_a_pod_it_says_so(tmp_path: Path) -> None:
    shifts = ROOT / "charts/uplift/shifts/prod.yaml"
    done = CliRunner().invoke(app, ["scaling", "apply", str(shifts), "--account", str(tmp_path)])
    assert done.exit_code == 1
    assert "This runs in a pod that has the token of a service account." in done.output


def _pod(objects: Objects) -> Object:
    job = objects.of_kind("CronJob")["uplift-floor"]["spec"]["jobTemplate"]["spec"]
    return job["template"]


def test_its_pod_alone_has_a_token(objects: Objects) -> None:
    spec = _pod(objects)["spec"]
    assert spec["automountServiceAccountToken"] is True
    assert {template["spec"]["automountServiceAccountToken"] for _, template in objects.pods()} == {False}
    assert {each["automountServiceAccountToken"] for each in objects.of_kind("ServiceAccount").values()} == {False}
    (container,) = spec["containers"]
    assert "env" not in container, "it knows no secret of ours"
    assert container["args"] == ["all_in_one.main", "scaling", "apply", "/shifts/shifts.yaml", "--every-minutes=5"]
    assert objects.of_kind("CronJob")["uplift-floor"]["spec"]["schedule"] == "*/5 * * * *"


def test_its_pod_is_restricted_like_the_others(cluster: Cluster, objects: Objects) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": labels}}
    cluster.server.create(namespace).raise_for_status()
    account = objects.of_kind("ServiceAccount")["uplift-floor"]
    cluster.server.create(account, namespace="restricted").raise_for_status()
    template = _pod(objects)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", **template["metadata"]},
        "spec": template["spec"],
    }
    answer = cluster.server.create(pod, namespace="restricted", dry_run=True)
    assert answer.is_success, answer.text
    assert "warning" not in answer.headers
    mounted = [each["name"] for each in answer.json()["spec"]["volumes"]]
    assert any(each.startswith("kube-api-access-") for each in mounted)


def test_its_policy_lets_it_reach_kubernetes_api_and_names_only(objects: Objects) -> None:
    template = _pod(objects)
    spec = objects.of_kind("NetworkPolicy")["uplift-floor"]["spec"]
    assert spec["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 443, 6443}
    assert "ingress" not in spec


@pytest.mark.parametrize("autoscaling", ["keda", "none"])
def test_it_is_there_without_keda_only(render: Render, autoscaling: str) -> None:
    objects = render("prod", {**values(), "autoscaling": autoscaling})
    assert objects.of_kind("CronJob") == objects.of_kind("Role") == {}
