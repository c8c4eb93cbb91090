"""Workflows are well formed and use actions that stay what they are; every image and the chart are published, signed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from testkit.fixtures import started_or_skipped
from testkit.programs.actionlint import actionlint
from testkit.programs.helm import KUBE_VERSION, helm, run_helm
from testkit.releases import parse_tag, set_version

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


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_and_rights_are_given_job_by_job(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})", each)] == []
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.slow
def test_actionlint_finds_nothing() -> None:
    program = started_or_skipped(actionlint)
    # Without tools that a machine may have or not.
    done = subprocess.run(
        [program, "-no-color", "-shellcheck=", "-pyflakes=", *WORKFLOWS], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.slow
def test_actionlint_finds_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text("on: push\njobs: {a: {runs-on: ubuntu-24.04, steps: [{run: 'echo ${{ github.actr }}'}]}}\n")
    done = subprocess.run([started_or_skipped(actionlint), "-no-color", file], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'property "actr" is not defined' in done.stdout


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


def test_a_chart_is_published_only_after_all_its_images(workflow: dict[str, Any]) -> None:
    chart = workflow["jobs"]["chart"]
    assert (chart["needs"], chart["if"]) == ("image", "github.ref_type == 'tag'")
    assert 'cosign sign --yes "$CHARTS/uplift@$DIGEST"' in chart["steps"][-1]["run"]


@pytest.mark.cluster
def test_a_packaged_chart_has_the_version_of_the_tag_and_its_images(workflow: dict[str, Any], tmp_path: Path) -> None:
    """The step as it is written, with our Helm."""
    (script,) = [each["run"] for each in workflow["jobs"]["chart"]["steps"] if each.get("name") == "Package"]
    shutil.copytree(ROOT / "charts", tmp_path / "charts")
    binary = started_or_skipped(helm)
    tag = "v0.3.0-boards.1"
    environment = {"PATH": f"{binary.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "GITHUB_REF_NAME": tag}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    (packaged,) = (tmp_path / "packaged").iterdir()
    assert packaged.name == "uplift-0.3.0-boards.1.tgz"
    text = run_helm("template", "uplift", packaged, "--kube-version", KUBE_VERSION)
    images = set(re.findall(r"image: (\S+)", text))
    assert f"ghcr.io/uplift/ingest:{tag}" in images
    assert all(each.endswith(f":{tag}") for each in images)
    published = workflow["jobs"]["image"]["env"]["IMAGE"]
    assert published == "ghcr.io/${{ github.repository_owner }}/${{ matrix.service }}"


def test_a_tag_changes_one_line_of_one_customer(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    file = set_version(parse_tag("release/prod/acme/0.3.0-boards.1"), tmp_path)
    changed = [
        (before, after)
        for path in sorted((ROOT / "k8s").rglob("*.yaml"))
        for before, after in zip(
            path.read_text().splitlines(), (tmp_path / path.relative_to(ROOT)).read_text().splitlines(), strict=True
        )
        if before != after
    ]
    assert file == tmp_path / "k8s/environments/prod/customers/acme/release.yaml"
    assert [after for _, after in changed] == ["version: 0.3.0-boards.1"]


@pytest.mark.parametrize(
    "tag",
    [
        "release/prod/acme/v0.3.0",
        "release/prod/0.3.0",
        "release/prod/nobody/0.3.0",
        "release/../x/acme/0.3.0",
        "v0.3.0",
    ],
)
def test_other_tags_are_refused(tag: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not release/|There is no customer nobody in prod\."):
        set_version(parse_tag(tag), tmp_path)


def test_the_script_of_the_workflow_needs_no_package() -> None:
    script = ROOT / "libs/testkit/src/testkit/releases.py"
    done = subprocess.run([sys.executable, "-IS", script, "release/prod"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("release/prod is not release/<environment>/<customer>/<version>")
