"""The chart, rendered by Helm as for an installation. No cluster is needed."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder
from testkit.programs.helm import KUBE_VERSION, helm, run_helm
from testkit.programs.kubernetes_cluster import Cluster

from tests.architecture.files import ROOT
from tests.charts.cluster import create_definitions, create_namespace
from tests.charts.objects import Objects, hook_of
from tests.charts.schemas import Schemas, load_schemas

ENVIRONMENTS = ("dev", "staging", "prod")
RELEASE = "uplift"

Render = Callable[..., Objects]


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The umbrella chart with its library, in a folder of its own."""
    started_or_skipped(helm)
    charts = tmp_path_factory.mktemp("charts")
    shutil.copytree(ROOT / "charts", charts, dirs_exist_ok=True)
    run_helm("dependency", "build", charts / "uplift")
    return charts / "uplift"


@pytest.fixture(scope="session")
def render(chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """`render("prod", {"autoscaling": "none"})` gives the objects of an environment; without its name those of the
    defaults; with `removing` those that remove what hooks made, in their place. Raises HelmFailed."""

    def rendered(
        environment: str | None = None,
        values: Mapping[str, Any] | None = None,
        release: str = RELEASE,
        removing: bool = False,
    ) -> Objects:
        files: Sequence[Path] = [chart / "values" / f"{environment}.yaml"] if environment else []
        own = tmp_path_factory.mktemp("values") / "own.yaml"
        own.write_text(yaml.safe_dump(dict(values or {})))
        options = [option for file in [*files, own] for option in ("--values", file)]
        version = ("--kube-version", KUBE_VERSION)
        text = run_helm("template", release, chart, "--namespace", "uplift", *version, *options)
        found = Objects(each for each in yaml.safe_load_all(text) if each)
        return Objects(each for each in found if (hook_of(each) == "post-delete") == removing)

    return rendered


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    """The closed schema of each custom resource."""
    return load_schemas([started_or_skipped(crd_folder)])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With the custom resources, and the namespace in which a release admits its routes to Keycloak."""
    with started_or_skipped(lambda: Cluster(tmp_path_factory.mktemp("cluster"))) as started:
        create_definitions(started)
        create_namespace(started, "keycloak")
        yield started


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def objects(render: Render, environment: str) -> Objects:
    """Those of each environment, with shift windows for some roles."""
    return render(environment, SCALING if environment == "prod" else {})


TRIGGER = {
    "name": "day-mon-fri", "timezone": "Europe/Berlin", "start": "45 7 * * 1-5", "end": "0 20 * * 1-5", "replicas": 6,
}  # fmt: skip
SCALING: dict[str, Any] = {
    "scaling": {
        "ingest": {
            "api": {"min": 2, "max": 12, "triggers": [TRIGGER]},
            "work": {"min": 1, "max": 2, "triggers": []},
        },
        "kpi-engine": {"work": {"min": 1, "max": 6, "triggers": [TRIGGER]}},
    }
}
