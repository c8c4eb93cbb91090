"""The definitions (CRDs) of the custom resources in the Helm chart, from the Go modules of their projects."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from testkit.programs.program import ProgramMissing, build_cached, find_tool

CURE = "install Go 1.24 or later, which downloads the definitions"

MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "github.com/kedacore/keda/v2@v2.20.2": (
        "h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=",
        tuple(f"config/crd/bases/keda.sh_{kind}.yaml" for kind in ("scaledobjects", "triggerauthentications")),
    ),
    "sigs.k8s.io/gateway-api@v1.4.0": (
        "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
        tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
            for kind in ("gateways", "httproutes", "referencegrants")
        ),
    ),
    "github.com/envoyproxy/gateway@v1.6.0": (
        "h1:AWKXQpvnNs6vqSeDgSwOyqMKlPircGXvw97mkfcDh/w=",
        tuple(
            f"charts/gateway-helm/crds/generated/gateway.envoyproxy.io_{kind}.yaml"
            for kind in ("backendtrafficpolicies", "clienttrafficpolicies", "httproutefilters", "securitypolicies")
        ),
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
            for kind in ("podmonitors", "prometheusrules")
        ),
    ),
    "github.com/external-secrets/external-secrets@v1.3.2": (
        "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=",
        ("config/crds/bases/external-secrets.io_externalsecrets.yaml",),
    ),
}
"""By module and version: its checksum, and the files that are copied from it."""


def crd_folder() -> Path:
    """A folder with a file for each kind, downloaded at the first call. Raises ProgramMissing."""
    version = hashlib.sha256(repr(MODULES).encode()).hexdigest()[:12]
    return build_cached("crds", version, _fetch)


def _fetch(folder: Path) -> None:
    go = find_tool("go", CURE, "/usr/local/go/bin")
    for module, (checksum, files) in MODULES.items():
        with tempfile.TemporaryDirectory(prefix="uplift-crds-") as elsewhere:
            done = subprocess.run(
                [go, "mod", "download", "-json", module], cwd=elsewhere, capture_output=True, text=True, check=False
            )
        found = json.loads(done.stdout or "{}")
        if done.returncode or found.get("Sum") != checksum:
            raise ProgramMissing(f"{module} cannot be had as expected: {found.get('Error') or done.stderr or found}")
        for file in files:
            shutil.copy(Path(found["Dir"]) / file, folder)
