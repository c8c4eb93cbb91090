"""The folders of k8s/, rendered by Kustomize as Argo CD does it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from testkit.fixtures import started_or_skipped
from testkit.programs.custom_resources import crd_folder, strimzi_crd_folder
from testkit.programs.kustomize import build_kustomization, kustomize

from tests.architecture.files import ROOT
from tests.charts.objects import Objects
from tests.charts.schemas import Schemas, load_schemas

K8S = ROOT / "k8s"
CUSTOMERS = sorted(K8S.glob("environments/*/customers/*"))
FOLDERS = sorted(each.parent for each in K8S.glob("**/kustomization.yaml") if "kind: Component" not in each.read_text())

Build = Callable[[Path], Objects]


@pytest.fixture(scope="session")
def build() -> Build:
    """`build(folder)` gives its objects, as they are applied."""
    started_or_skipped(kustomize)
    return cache(lambda folder: Objects(build_kustomization(folder)))


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    """The closed schema of each custom resource of which there is a definition to be had."""
    return load_schemas([started_or_skipped(crd_folder), started_or_skipped(strimzi_crd_folder)])


def name_of(folder: Path) -> str:
    return str(folder.relative_to(K8S))
