"""What pods use, as metrics-server says it: the tests set it, since no container runs."""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from testkit.programs.certificates import write_certificates
from testkit.programs.kubernetes import ApiServer

VERSION = "metrics.k8s.io/v1beta1"


def register_api(server: ApiServer, group: str, port: int) -> None:
    """Has the API server hand on requests for this `group/version` to localhost's `port`, and waits until it answers."""
    name, _, version = group.partition("/")
    service = f"api-{name.replace('.', '-')}"
    server.create(
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        }
    ).raise_for_status()  # fmt: skip
    server.create(
        {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"{version}.{name}"},
            "spec": {
                "group": name, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": True, "service": {"namespace": "default", "name": service, "port": port},
            },
        }
    ).raise_for_status()  # fmt: skip
    server.wait_for_kinds([group])


class PodMetrics:
    """`with PodMetrics(folder, server) as metrics:`. Every running pod uses the share `utilization` of the CPU that it requests."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.utilization = 0.1
        self._server = server
        write_certificates(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(outer._answer(self.path)).encode()  # pyright: ignore[reportPrivateUsage]
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        register_api(self._server, VERSION, self._http.server_port)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, path: str) -> dict[str, Any]:
        url = urlsplit(path)
        if not url.path.endswith("/pods"):
            pods = {
                "name": "pods",
                "singularName": "",
                "namespaced": True,
                "kind": "PodMetrics",
                "verbs": ["get", "list"],
            }
            return {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": VERSION, "resources": [pods]}
        namespace = url.path.split("/")[-2]
        selector = parse_qs(url.query).get("labelSelector", [""])[0]
        found = self._server.http.get(f"/api/v1/namespaces/{namespace}/pods", params={"labelSelector": selector})
        items = [
            self._usage(pod) for pod in found.raise_for_status().json()["items"] if pod["status"]["phase"] == "Running"
        ]
        return {"apiVersion": VERSION, "kind": "PodMetricsList", "metadata": {}, "items": items}

    def _usage(self, pod: dict[str, Any]) -> dict[str, Any]:
        def usage(container: dict[str, Any]) -> dict[str, str]:
            requested = container["resources"]["requests"]["cpu"]
            millis = float(requested[:-1]) if requested.endswith("m") else 1000 * float(requested)
            return {"cpu": f"{round(millis * self.utilization)}m", "memory": "100Mi"}

        return {
            "metadata": {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "window": "10s",
            "containers": [{"name": each["name"], "usage": usage(each)} for each in pod["spec"]["containers"]],
        }
