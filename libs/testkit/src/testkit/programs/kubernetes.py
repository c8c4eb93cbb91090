"""A real kube-apiserver with an etcd, both built by Go. It validates objects as a cluster does; no pod runs. `kubernetes_cluster` has
the controllers that act on objects."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import ECKey

from testkit.programs.program import Program, build_go_project, free_port, is_listening
from testkit.waiting import wait_for

VERSION = "1.34.4"
CURE = "install Go 1.24 or later, with which Kubernetes' API server is built"
PROJECT = Path(__file__).with_name("kubernetes")
TOKEN = "only-for-tests"


def build_kubernetes(name: str) -> Path:
    """A program of Kubernetes, `kube-…`, built at the first call. Raises ProgramMissing."""
    # Without a version it does not start.
    stamp = f"-X k8s.io/component-base/version.gitVersion=v{VERSION}"
    return build_go_project(name, PROJECT, CURE, package=f"k8s.io/kubernetes/cmd/{name}", link=stamp)


def kube_apiserver() -> Path:
    """The program, built at the first call, in three minutes. Raises ProgramMissing."""
    return build_kubernetes("kube-apiserver")


def etcd() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("etcd", PROJECT, CURE, package="go.etcd.io/etcd/server/v3")


def _kubeconfig(url: str) -> dict[str, Any]:
    """For programs that are given a file: JSON is YAML."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "tests", "user": {"token": TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }


class ApiServer(Program):
    """`with ApiServer(folder) as server:` starts it. Its token allows everything, others what RBAC grants; admission is as in
    a cluster."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """Data is in `folder` and survives a restart. `arguments` are added to those of kube-apiserver."""
        folder.mkdir(parents=True, exist_ok=True)
        client, peer, port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.signing_key = folder / "signing.pem"
        self.kubeconfig = folder / "kubeconfig.json"
        store, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self._etcd = Program(
            "etcd",
            [
                etcd(), "--data-dir", folder / "etcd", "--listen-client-urls", store, "--advertise-client-urls", store,
                "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
                "--initial-cluster", f"default={peers}", "--unsafe-no-fsync",
            ],
            log=folder / "etcd.log",
            ready=lambda: is_listening(client),
        )  # fmt: skip
        key = ECKey.generate_key("P-256")
        self.signing_key.write_bytes(key.as_pem(private=True))
        (folder / "accounts.pem").write_bytes(key.as_pem(private=False))
        (folder / "tokens.csv").write_text(f"{TOKEN},tests,tests,system:masters\n")
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self.url)))
        super().__init__(
            "kube-apiserver",
            [
                kube_apiserver(), "--etcd-servers", store, "--secure-port", str(port), "--bind-address", "127.0.0.1",
                "--cert-dir", folder / "certificates", "--service-account-issuer", "https://kubernetes.default.svc",
                "--service-account-key-file", folder / "accounts.pem",
                "--service-account-signing-key-file", self.signing_key,
                "--token-auth-file", folder / "tokens.csv", "--authorization-mode", "RBAC",
                "--service-cluster-ip-range", "10.96.0.0/16", *arguments,
            ],
            log=folder / "kube-apiserver.log",
            ready=self._is_ready,
            seconds=120,
        )  # fmt: skip
        # It creates a certificate for itself at the first start.
        self.http = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, verify=False, timeout=60
        )  # nosec
        self._paths: dict[tuple[str, str], str] = {}

    def launch(self) -> None:
        """See `Program.launch`. Starts its etcd first."""
        self._etcd.start()
        super().launch()

    def start(self) -> None:
        """See `Program.start`. Kills etcd too when it fails."""
        try:
            super().start()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Kills the server and its etcd."""
        super().kill()
        self.http.close()
        self._etcd.kill()

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def wait_for_kinds(self, versions: Sequence[str], seconds: float = 30) -> None:
        """Returns when the server serves these `group/version`, shortly after their definitions were created. Raises
        AssertionError after `seconds`."""
        wait_for(
            lambda: all(self.http.get(f"/apis/{each}").is_success for each in versions), seconds=seconds, every=0.2
        )

    def create(self, body: Mapping[str, Any], *, namespace: str | None = None, dry_run: bool = False) -> httpx.Response:
        """Creates an object in its own namespace, or else in `namespace`. The server refuses unknown fields. Raises KeyError
        for a kind that does not exist."""
        base = "/api/v1" if body["apiVersion"] == "v1" else f"/apis/{body['apiVersion']}"
        kind = (base, body["kind"])
        if kind not in self._paths:
            resources = self.http.get(base).raise_for_status().json()["resources"]
            self._paths |= {(base, each["kind"]): each["name"] for each in resources if "/" not in each["name"]}
        within = body["metadata"].get("namespace") or namespace
        path = f"{base}/namespaces/{within}/{self._paths[kind]}" if within else f"{base}/{self._paths[kind]}"
        parameters = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self.http.post(path, json=dict(body), params=parameters)

    def list(self, path: str) -> list[dict[str, Any]]:
        """The objects of a collection, as at `/api/v1/nodes`. Raises HTTPStatusError."""
        return self.http.get(path).raise_for_status().json()["items"]
