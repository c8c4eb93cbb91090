"""What the chart renders is what an API server would take: lint, schemas of Kubernetes, schemas of custom resources."""

import shutil
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from testkit.charts import find_stale_files
from testkit.programs.helm import KUBE_VERSION, run_helm

from tests.charts.conftest import ENVIRONMENTS, SCALING, Render
from tests.charts.objects import Objects
from tests.charts.schemas import Schemas, validate_object


def test_generated_files_are_up_to_date() -> None:
    assert [path.name for path, _ in find_stale_files()] == [], "run `python -m testkit.charts --write`"


@pytest.mark.cluster
def test_helm_finds_nothing(chart: Path) -> None:
    for environment in ENVIRONMENTS:
        values = chart / "values" / f"{environment}.yaml"
        assert "0 chart(s) failed" in run_helm(
            "lint", "--strict", chart, "--values", values, "--kube-version", KUBE_VERSION
        )


@pytest.mark.cluster
def test_objects_fit_their_schemas(objects: Objects, schemas: Schemas) -> None:
    """No kind is passed over: each is Kubernetes' own or has a definition."""
    for each in objects:
        validate_object(each, schemas)


@pytest.mark.cluster
def test_schemas_find_what_is_wrong(render: Render, schemas: Schemas) -> None:
    objects = render("prod", SCALING)
    scaled = objects.of_kind("ScaledObject")["uplift-ingest-api"]
    scaled["spec"]["minReplicas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        validate_object(scaled, schemas)
    deployment = objects.of_kind("Deployment")["uplift-ingest-api"]
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        validate_object(deployment, schemas)


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
