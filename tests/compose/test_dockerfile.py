"""The Dockerfile read and checked, and its steps done by hand, since no engine is needed for those either."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = re.split(r"^FROM .*\n", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_and_nobody_is_root() -> None:
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    assert int(_last("USER", FINAL).split(":")[0]) >= 10_000
    assert _last("STOPSIGNAL", FINAL) == "SIGTERM"
    assert json.loads(_last("ENTRYPOINT", FINAL)) == ["python", "-m"]
    assert json.loads(_last("CMD", FINAL))[0] == "servicekit"


def _last(instruction: str, text: str) -> str:
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)[-1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the build stage leaves in TARGET for SERVICE=ingest."""
    folder, target = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("image") / "uplift"
    steps = re.findall(r"^COPY ([^\n]+)$|^RUN [^\n]*<<EOF\n(.*?)^EOF$", BUILD, re.MULTILINE | re.DOTALL)
    # Debian calls it python3, the image python.
    interpreter = tmp_path_factory.mktemp("bin") / "python"
    interpreter.symlink_to(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
    environment = {**os.environ, "TARGET": str(target), "SERVICE": "ingest"}  # noqa: TID251 - of a child
    environment["PATH"] = f"{interpreter.parent}:{environment['PATH']}"
    for copied, script in steps:
        if copied:
            *names, _ = copied.split()
            for name in names:
                _copy(ROOT / name, folder / name)
        else:
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, check=True, timeout=110
            )
    yield target
    shutil.rmtree(target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("tests", "__pycache__", "node_modules", "dist"))
    else:
        shutil.copy(source, target)


def _python(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [root / "bin" / "python", "-I", *arguments], cwd=root, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_an_image_runs_its_own_service_and_no_other(root: Path) -> None:
    helped = _python(root, "-m", "servicekit", "--help")
    assert helped.returncode == 0
    assert "migrate" in helped.stdout
    other = _python(root, "-m", "servicekit", "api", "--service", "forms")
    assert other.returncode == 1
    assert "There are: ingest." in other.stderr


@pytest.mark.slow
def test_an_image_holds_the_locked_versions_and_nothing_for_development(root: Path) -> None:
    listing = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = {_normal(name): number for name, number in json.loads(_python(root, "-c", listing).stdout).items()}
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    members = {name for name in found if name.startswith("uplift-")}
    assert members == {"uplift-contracts", "uplift-messaging", "uplift-storage", "uplift-servicekit", "uplift-ingest"}
    assert {name: number for name, number in found.items() if name not in members and locked.get(name) != number} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dev = {_normal(re.split(r"[\[<>=!]", each)[0]) for each in project["dependency-groups"]["dev"]}
    assert not found.keys() & (dev | {"pip", "setuptools", "wheel", "uv", "uv-build"})


@pytest.mark.slow
def test_an_image_holds_compiled_code_and_no_links_to_the_sources(root: Path) -> None:
    package = next(root.glob("lib/python3.*/site-packages/servicekit"))
    assert not package.is_symlink()
    compiled = {path.name.split(".")[0] for path in (package / "__pycache__").glob("*.pyc")}
    assert compiled == {path.stem for path in package.glob("*.py")}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
