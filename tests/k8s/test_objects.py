"""What an operator would be given fits its definition; what has no definition here is checked for what its guide says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder, strimzi_crd_folder
from testkit.programs.kubernetes import ApiServer

from tests.charts.schemas import Schemas, validate_object
from tests.k8s.conftest import CUSTOMERS, FOLDERS, K8S, Build, name_of

pytestmark = pytest.mark.cluster

WITHOUT_DEFINITION = {"Keycloak"}
"""Its project publishes the definition in no registry of packages."""
KEYCLOAK_FIELDS = {
    "instances", "db", "bootstrapAdmin", "http", "hostname", "proxy", "ingress", "additionalOptions", "resources", "unsupported",
}  # fmt: skip
"""Of https://www.keycloak.org/operator/advanced-configuration."""


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_objects_fit_their_definitions(folder: Path, build: Build, schemas: Schemas) -> None:
    objects = build(folder)
    assert objects
    for each in objects:
        if each["kind"] in WITHOUT_DEFINITION:
            assert each["spec"].keys() <= KEYCLOAK_FIELDS
        else:
            validate_object(each, schemas)


def test_definitions_find_what_is_wrong(build: Build, schemas: Schemas) -> None:
    objects = build(K8S / "data")
    for kind, field in (
        ("Kafka", "kafkas"),
        ("KafkaTopic", "partition"),
        ("Cluster", "instance"),
        ("MongoDBCommunity", "member"),
    ):
        wrong = next(iter(objects.of_kind(kind).values()))
        with pytest.raises(jsonschema.ValidationError, match=field):
            validate_object({**wrong, "spec": {**wrong["spec"], field: 1}}, schemas)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with started_or_skipped(lambda: ApiServer(tmp_path_factory.mktemp("kubernetes"))) as started:
        for folder in (crd_folder, strimzi_crd_folder):
            for file in started_or_skipped(folder).iterdir():
                for each in yaml.safe_load_all(file.read_text()):
                    started.create(each).raise_for_status()
        started.create(_namespace("argocd")).raise_for_status()
        started.wait_for_kinds(
            [
                "kafka.strimzi.io/v1",
                "postgresql.cnpg.io/v1",
                "karpenter.sh/v1",
                "argoproj.io/v1alpha1",
                "barmancloud.cnpg.io/v1",
            ]
        )
        yield started


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_an_api_server_takes_every_object(server: ApiServer, build: Build) -> None:
    """Rules in CEL, defaults, Kubernetes' own checks: https://kubernetes.io/docs/reference/using-api/cel/."""
    refused: dict[str, str] = {}
    known = 0
    for folder in [
        *(each for each in FOLDERS if "customers" not in each.parts),
        *(each / "data" for each in CUSTOMERS),
    ]:
        if folder.name == "data" and folder.parent == K8S:
            continue
        objects = build(folder)
        for namespace in objects.of_kind("Namespace").values():
            server.create(namespace)
        for each in objects:
            if each["kind"] in {"Namespace", *WITHOUT_DEFINITION}:
                continue
            known += 1
            answer = server.create(each, dry_run=True)
            if not answer.is_success or "warning" in answer.headers:
                refused[f"{name_of(folder)}: {each['kind']} {each['metadata']['name']}"] = answer.text[:500]
    assert refused == {}
    assert known > 90


def test_no_image_and_no_chart_is_of_bitnami() -> None:
    for file in K8S.rglob("*.yaml"):
        assert "bitnami" not in file.read_text().lower(), file
