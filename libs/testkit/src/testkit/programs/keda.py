"""KEDA's own operator and metrics server, built by Go: ScaledObjects become autoscalers that follow the clock and Kafka's lag."""

from pathlib import Path
from typing import Self

from testkit.programs.certificates import write_certificates
from testkit.programs.kubernetes import ApiServer
from testkit.programs.kubernetes_metrics import register_api
from testkit.programs.program import Program, build_go_project, free_port, is_answering

CURE = "install Go 1.26 or later, with which KEDA is built"
PROJECT = Path(__file__).with_name("keda")


def keda_operator() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("keda-operator", PROJECT, CURE, package="github.com/kedacore/keda/v2/cmd/operator")


def keda_adapter() -> Path:
    """The server of external metrics, built at the first call. Raises ProgramMissing."""
    return build_go_project("keda-adapter", PROJECT, CURE, package="github.com/kedacore/keda/v2/cmd/adapter")


class Keda:
    """`with Keda(folder, server):`. KEDA's definitions and the namespace `keda` have to be there."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self._server = server
        health, grpc, metrics, self._port = free_port(), free_port(), free_port(), free_port()
        certificates = folder / "certificates"
        write_certificates(certificates)
        environment = {
            "KUBECONFIG": str(server.kubeconfig),
            "WATCH_NAMESPACE": "",
            "POD_NAMESPACE": "keda",
            "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
        }
        operator = Program(
            "keda-operator",
            [
                keda_operator(), "--enable-prometheus-metrics=false", "--cert-dir", certificates,
                "--health-probe-bind-address", f"127.0.0.1:{health}", "--metrics-service-bind-address", f"127.0.0.1:{grpc}",
            ],
            log=folder / "keda-operator.log",
            ready=lambda: is_answering(f"http://127.0.0.1:{health}/readyz"),
            env=environment,
        )  # fmt: skip
        adapter = Program(
            "keda-adapter",
            [
                keda_adapter(), "--metrics-service-address", f"127.0.0.1:{grpc}", "--port", str(metrics),
                "--bind-address", "127.0.0.1", "--secure-port", str(self._port), "--cert-dir", certificates,
                "--tls-cert-file", certificates / "tls.crt", "--tls-private-key-file", certificates / "tls.key",
                "--authentication-kubeconfig", server.kubeconfig, "--authorization-kubeconfig", server.kubeconfig,
                "--lister-kubeconfig", server.kubeconfig,
            ],
            log=folder / "keda-adapter.log",
            ready=lambda: is_answering(f"https://127.0.0.1:{self._port}/readyz"),
            env=environment,
        )  # fmt: skip
        self._parts = (operator, adapter)

    def __enter__(self) -> Self:
        try:
            for part in self._parts:
                part.start()
            register_api(self._server, "external.metrics.k8s.io/v1beta1", self._port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            part.kill()
