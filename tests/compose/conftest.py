"""The project as `docker compose` computes it: by Compose's own library, since no engine is needed to read a file."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testkit.fixtures import started_or_skipped
from testkit.programs.program import build_cached, find_tool, run_tool

from tests.architecture.files import ROOT

MODEL = Path(__file__).with_name("model")

Project = dict[str, Any]


def _reader() -> Path:
    go = find_tool("go", "install Go 1.24 or later, with which Compose's own reader is built", "/usr/local/go/bin")

    def build(folder: Path) -> None:
        local = {"GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        run_tool([go, "build", "-trimpath", "-o", folder / "model", "."], cwd=MODEL, env=local)

    sources = b"".join((MODEL / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    return build_cached("compose-model", hashlib.sha256(sources).hexdigest()[:8], build) / "model"


@pytest.fixture(scope="session")
def read_project() -> Callable[..., Project]:
    """`read_project(UPLIFT_PORT="9000")` gives the project in that environment. Fails on whatever Compose complains of,
    variables without a value included."""
    reader = started_or_skipped(_reader)

    def read(**environment: str) -> Project:
        done = subprocess.run([reader, ROOT], env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="session")
def project(read_project: Callable[..., Project]) -> Project:
    """What plain `docker compose up` starts."""
    return read_project()


@pytest.fixture(scope="session")
def ours(project: Project) -> dict[str, Any]:
    """The containers of our own images."""
    return {name: each for name, each in project["services"].items() if "build" in each}
