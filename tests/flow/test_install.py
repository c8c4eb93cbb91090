"""What `make up` installs, and nothing more, is enough to run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.flow.suite import Embedded

MEMBERS = sorted(str(each.parent) for each in ROOT.glob("*/*/pyproject.toml") if each.parent.name != "testkit")


@pytest.mark.slow
def test_what_runs_needs_nothing_of_what_tests_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uplift/uv-venv/bin/uv")
    folder = tmp_path / "venv"
    environment = {**os.environ, "VIRTUAL_ENV": str(folder), "UV_LINK_MODE": "hardlink"}  # noqa: TID251 - of a child

    def run(*command: str) -> None:
        subprocess.run([uv, *command, "--quiet"], cwd=ROOT, env=environment, check=True, timeout=150)

    run("venv", "--no-python-downloads", "--python", sys._base_executable, str(folder))  # type: ignore[attr-defined]
    run("pip", "install", "--require-hashes", "-r", "requirements.lock")
    run("pip", "install", "--no-deps", *(part for each in MEMBERS for part in ("-e", each)))
    size = sum(file.stat().st_size for file in folder.rglob("*") if not file.is_symlink())
    assert size < 320e6, f"{size / 1e6:.0f} MB"

    monkeypatch.setattr("tests.flow.suite.UPLIFT", folder / "bin" / "uplift")
    suite = Embedded(tmp_path / "data")
    suite.start("--demo")
    told = subprocess.run(
        [folder / "bin" / "uplift", "status", "--url", suite.url], capture_output=True, text=True, timeout=60
    )
    suite.stop()
    assert told.returncode == 0, told.stderr
    assert "ready" in told.stdout
