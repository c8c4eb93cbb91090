"""A whole control plane: the API server with Kubernetes' own controllers and scheduler, and kwok in place of kubelets. Deployments
roll, Jobs end and autoscalers count; no container runs, no packet flows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from testkit.programs.kubernetes import CURE, ApiServer, build_kubernetes
from testkit.programs.program import Program, build_go_project, free_port, is_answering
from testkit.waiting import wait_for

KWOK = Path(__file__).with_name("kwok")
STAGES = Path(__file__).with_name("kwok_stages.yaml")
ZONES = ("a", "b", "c")
GATES = "--feature-gates=HPAConfigurableTolerance=true"
"""As from Kubernetes 1.35; before, the API server drops the tolerance of an autoscaler without a word."""


def kube_controller_manager() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_kubernetes("kube-controller-manager")


def kube_scheduler() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_kubernetes("kube-scheduler")


def kwok() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("kwok", KWOK, CURE, package="sigs.k8s.io/kwok/cmd/kwok")


class Cluster(ApiServer):
    """`with Cluster(folder) as cluster:`. It has a node in each of three zones. A Job's pod ends well, unless the tag of its image
    ends with `-fails`; every other pod becomes ready within a second or so."""

    def __init__(self, folder: Path) -> None:
        # Extension servers see requests of the API server without a name: it has no certificate for them.
        super().__init__(folder, GATES, "--authorization-mode=AlwaysAllow")
        ports = {name: free_port() for name in ("kube-controller-manager", "kube-scheduler", "kwok")}

        def controller(name: str, program: Path, *arguments: str | Path) -> Program:
            common = ("--kubeconfig", self.kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1")
            own = ("--secure-port", str(ports[name]), "--cert-dir", folder / name)
            health = f"https://127.0.0.1:{ports[name]}/healthz"
            return Program(
                name,
                [program, *common, *own, *arguments],
                log=folder / f"{name}.log",
                ready=lambda: is_answering(health),
            )

        self._parts: Sequence[Program] = (
            controller(
                "kube-controller-manager", kube_controller_manager(),
                GATES, "--service-account-private-key-file", self.signing_key,
                # Autoscalers decide after seconds, not minutes; how they decide stays as it is.
                "--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
                "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
            ),
            controller("kube-scheduler", kube_scheduler()),
            Program(
                "kwok",
                [
                    kwok(), "--kubeconfig", self.kubeconfig, "--config", STAGES, "--manage-all-nodes=true",
                    "--node-lease-duration-seconds=40", "--server-address", f"127.0.0.1:{ports['kwok']}",
                ],
                log=folder / "kwok.log",
                ready=lambda: is_answering(f"http://127.0.0.1:{ports['kwok']}/healthz"),
            ),
        )  # fmt: skip

    def start(self) -> None:
        """Returns when every part answers and the nodes take pods. Raises RuntimeError, AssertionError."""
        super().start()
        try:
            for part in self._parts:
                part.launch()
            for zone in ZONES:
                self.create(_node(zone)).raise_for_status()
            for part in self._parts:
                part.wait()
            wait_for(lambda: all(map(_is_ready, self.list("/api/v1/nodes"))), seconds=30, every=0.1)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def kill(self) -> None:
        """Ends every part at once."""
        for part in self._parts:
            part.kill()
        super().kill()


def _node(zone: str) -> dict[str, Any]:
    size = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    name = f"node-{zone}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    status = {"capacity": size, "allocatable": size}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
