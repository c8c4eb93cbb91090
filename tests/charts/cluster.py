"""A release of the chart in a test cluster, and what happens there while it is changed."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder
from testkit.programs.helm import run_helm
from testkit.programs.kubernetes import ApiServer
from testkit.programs.kubernetes_cluster import Cluster
from testkit.waiting import wait_for

from tests.charts.objects import Object

CUSTOM = ["keda.sh/v1alpha1", "gateway.envoyproxy.io/v1alpha1", "external-secrets.io/v1"]


def create_definitions(server: ApiServer) -> None:
    """Those of the custom resources that the chart makes objects of."""
    for file in started_or_skipped(crd_folder).iterdir():
        for each in yaml.safe_load_all(file.read_text()):
            server.create(each).raise_for_status()
    server.wait_for_kinds(CUSTOM)


def create_namespace(server: ApiServer, name: str) -> None:
    """One that takes restricted pods only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    server.create(namespace).raise_for_status()


@dataclass(frozen=True)
class Release:
    """`values` are given with each command, as one gives an environment's file."""

    cluster: Cluster
    chart: Path
    namespace: str
    folder: Path
    environment: str = "dev"
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    name: str = "uplift"

    def apply(self, command: str, tag: str, values: Mapping[str, Any] = {}) -> None:
        """`command` is install or upgrade; it waits until everything is ready. Raises HelmFailed."""
        own = self.folder / "own.yaml"
        own.write_text(yaml.safe_dump({**self.values, **values}))
        files = ("--values", self.chart / "values" / f"{self.environment}.yaml", "--values", own)
        self._helm(command, self.name, self.chart, *files, "--set", f"image.tag={tag}", "--wait", "--timeout", "100s")

    def roll_back(self, revision: int) -> None:
        self._helm("rollback", self.name, str(revision), "--wait", "--timeout", "100s")

    def uninstall(self) -> None:
        self._helm("uninstall", self.name, "--wait", "--timeout", "100s")

    def states(self) -> list[str]:
        """Of its revisions, the oldest first: deployed, failed, superseded."""
        return [each["status"] for each in json.loads(self._helm("history", self.name, "--output", "json"))]

    def deployments(self) -> dict[str, Object]:
        """By name."""
        return self._named("apis/apps/v1", "deployments")

    def jobs(self) -> dict[str, Object]:
        """By name without that of the release."""
        return {name.removeprefix(f"{self.name}-"): job for name, job in self._named("apis/batch/v1", "jobs").items()}

    def tags(self) -> set[str]:
        """Of the images that its Deployments name."""
        pods = [each["spec"]["template"]["spec"] for each in self.deployments().values()]
        return {container["image"].rpartition(":")[2] for pod in pods for container in pod["containers"]}

    def watch(self) -> "Watch":
        within = f"namespaces/{self.namespace}"
        return Watch(
            self.cluster,
            [f"/api/v1/{within}/pods", f"/apis/apps/v1/{within}/deployments", f"/apis/batch/v1/{within}/jobs"],
        )

    def _named(self, group: str, kind: str) -> dict[str, Object]:
        found = self.cluster.list(f"/{group}/namespaces/{self.namespace}/{kind}")
        return {each["metadata"]["name"]: each for each in found}

    def _helm(self, *arguments: str | Path) -> str:
        return run_helm(*arguments, "--namespace", self.namespace, "--kubeconfig", self.cluster.kubeconfig)


@dataclass(frozen=True, order=True)
class Event:
    """A change of an object. Revisions are those of etcd: one order over all kinds."""

    revision: int
    type: str = field(compare=False)
    object: Object = field(compare=False)

    @property
    def name(self) -> str:
        return f"{self.object['kind']} {self.object['metadata']['name']}"


class Watch:
    """`with Watch(server, paths) as watch:` collects every event of these collections, until its end and a moment longer."""

    def __init__(self, server: ApiServer, paths: Sequence[str]) -> None:
        self._server = server
        self._events: list[Event] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(path,), daemon=True) for path in paths]

    @property
    def events(self) -> list[Event]:
        return sorted(self._events)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _read(self, path: str) -> None:
        """One request after another, each from where the last one ended: the server ends them, after two seconds."""
        last = 0
        while not self._ended.is_set():
            parameters = {"watch": "1", "timeoutSeconds": "2", **({"resourceVersion": str(last)} if last else {})}
            with self._server.http.stream("GET", path, params=parameters) as stream:
                for line in stream.iter_lines():
                    change = json.loads(line)
                    revision = int(change["object"]["metadata"]["resourceVersion"])
                    # The first answers are what is there, in the order of names.
                    last = max(last, revision)
                    self._events.append(Event(revision, change["type"], change["object"]))


def find_shortfalls(events: Sequence[Event]) -> list[str]:
    """`Deployment name: available of least` wherever fewer pods took requests than its strategy allows, after each event from when
    all were there."""
    pods: dict[str, Object] = {}
    least: dict[str, tuple[dict[str, str], int]] = {}
    reached: set[str] = set()
    short: list[str] = []
    for event in events:
        if event.object["kind"] == "Deployment":
            spec = event.object["spec"]
            unavailable = spec["strategy"]["rollingUpdate"]["maxUnavailable"]
            assert isinstance(unavailable, int), "a percentage is not reckoned here"
            least[event.name] = (spec["selector"]["matchLabels"], spec["replicas"] - unavailable)
        elif event.object["kind"] == "Pod":
            pods[event.name] = event.object
            if event.type == "DELETED":
                del pods[event.name]
        for name, (labels, number) in least.items():
            available = sum(_is_available(pod, labels) for pod in pods.values())
            if available >= number:
                reached.add(name)
            elif name in reached:
                short.append(f"{name}: {available} of {number}")
    assert reached == least.keys()
    return short


def _is_available(pod: Object, labels: Mapping[str, str]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    leaving = "deletionTimestamp" in pod["metadata"]
    return labels.items() <= pod["metadata"]["labels"].items() and conditions.get("Ready") == "True" and not leaving


def find_objects(server: ApiServer, namespace: str) -> set[str]:
    """`kind name` of everything that is in a namespace, whatever its kind; without events."""
    found: set[str] = set()
    groups = server.http.get("/apis").raise_for_status().json()["groups"]
    for base in ["/api/v1", *(f"/apis/{each['preferredVersion']['groupVersion']}" for each in groups)]:
        for kind in server.http.get(base).raise_for_status().json()["resources"]:
            if kind["namespaced"] and "list" in kind["verbs"] and kind["name"] != "events":
                items = server.list(f"{base}/namespaces/{namespace}/{kind['name']}")
                found |= {f"{kind['name']} {each['metadata']['name']}" for each in items}
    return found


def wait_for_objects(server: ApiServer, namespace: str, expected: set[str], seconds: float = 30) -> None:
    """Returns when exactly these are there. Raises AssertionError."""
    wait_for(lambda: find_objects(server, namespace) == expected, seconds=seconds, every=1)
