"""What the chart renders is what an API server would take: lint, schemas of Kubernetes, schemas of custom resources."""

import shutil
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from testkit.charts import find_stale_files
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder
from testkit.programs.helm import KUBE_VERSION, run_helm

from tests.charts.conftest import ENVIRONMENTS, SCALING, Render
from tests.charts.objects import Objects

KUBERNETES = KUBE_VERSION.rpartition(".")[0]


def test_generated_files_are_up_to_date() -> None:
    assert [path.name for path, _ in find_stale_files()] == [], "run `python -m testkit.charts --write`"


@pytest.mark.cluster
def test_helm_finds_nothing(chart: Path) -> None:
    for environment in ENVIRONMENTS:
        values = chart / "values" / f"{environment}.yaml"
        assert "0 chart(s) failed" in run_helm(
            "lint", "--strict", chart, "--values", values, "--kube-version", KUBE_VERSION
        )


@pytest.fixture(scope="session")
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """The closed schema of each custom resource, by apiVersion and kind."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in started_or_skipped(crd_folder).iterdir():
        for definition in yaml.safe_load_all(file.read_text()):
            spec = definition["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = _closed(version["schema"]["openAPIV3Schema"])
    return found


def _closed(schema: Any) -> Any:
    """An API server prunes unknown fields; here they are errors. Its own words become JSON Schema's."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.pop("x-kubernetes-int-or-string", None):
        closed["type"] = ["integer", "string"]
    known = closed.get("properties")
    if isinstance(known, dict) and closed.get("type") == "object" and known.keys() != {"metadata"}:
        closed.setdefault("additionalProperties", False)
        if {"apiVersion", "kind"} <= known.keys():
            known["metadata"] = {"type": "object"}
    return closed


@pytest.mark.cluster
def test_objects_fit_their_schemas(objects: Objects, schemas: dict[tuple[str, str], dict[str, Any]]) -> None:
    """No kind is passed over: each is Kubernetes' own or has a definition."""
    for each in objects:
        of = schemas.get((each["apiVersion"], each["kind"]))
        if of is None:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
        else:
            jsonschema.Draft7Validator(of).validate(each)


@pytest.mark.cluster
def test_schemas_find_what_is_wrong(render: Render, schemas: dict[tuple[str, str], dict[str, Any]]) -> None:
    objects = render("prod", SCALING)
    scaled = objects.of_kind("ScaledObject")["uplift-ingest-api"]
    scaled["spec"]["minReplicas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.Draft7Validator(schemas["keda.sh/v1alpha1", "ScaledObject"]).validate(scaled)
    deployment = objects.of_kind("Deployment")["uplift-ingest-api"]
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


@pytest.mark.cluster
def test_names_are_unique_and_no_longer_than_a_label(objects: Objects) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert [name for _, name in names if len(name) > 63] == []


@pytest.mark.cluster
def test_a_new_service_needs_no_value(chart: Path, tmp_path: Path, render: Render) -> None:
    shutil.copytree(chart, tmp_path, dirs_exist_ok=True)
    facts = tmp_path / "generated/services.yaml"
    facts.write_text(f"{facts.read_text()}  shift-plans: {{topics: [legs], settings: [], secrets: []}}\n")
    text = run_helm("template", "uplift", tmp_path, "--namespace", "uplift", "--kube-version", KUBE_VERSION)
    kinds = {each["kind"] for each in yaml.safe_load_all(text) if each and "shift-plans" in each["metadata"]["name"]}
    assert kinds == {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}


@pytest.mark.cluster
def test_the_same_values_render_the_same(render: Render) -> None:
    assert render("prod") == render("prod")
