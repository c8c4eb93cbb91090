"""The image workflow builds every image there is, on a pinned base, with actions that stay what they are."""

import re
from typing import Any

import pytest
import yaml

from tests.architecture.files import ROOT


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "images.yml").read_text())


def test_every_package_that_can_be_an_image_is_built(workflow: dict[str, Any]) -> None:
    built = workflow["jobs"]["image"]["strategy"]["matrix"]["service"]
    within_all_in_one = {"dev-idp", "simulator"}
    assert sorted(built) == sorted(
        {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")} - within_all_in_one
    )


def test_actions_are_pinned(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})", each)] == []


def test_what_is_given_to_the_build_is_what_the_dockerfile_takes(workflow: dict[str, Any]) -> None:
    given = re.findall(r"^(\w+)=", workflow["jobs"]["image"]["env"]["BUILD_ARGS"], re.MULTILINE)
    taken = set(re.findall(r"^ARG (\w+)=", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert set(given) == taken


def test_what_is_pushed_is_attested_and_signed_by_digest(workflow: dict[str, Any]) -> None:
    steps = {step.get("name"): step for step in workflow["jobs"]["image"]["steps"]}
    push = next(step for name, step in steps.items() if name and name.startswith("Push"))
    assert push["with"]["sbom"] is True
    assert push["with"]["provenance"] == "mode=max"
    assert "@${{ steps.push.outputs.digest }}" in steps["Sign"]["run"]
    names = list(steps)
    assert names.index("Look for known weaknesses that have a cure") < names.index(push["name"])
