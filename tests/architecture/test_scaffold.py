"""A service that is scaffolded into a copy of the tree passes the checks and its own tests."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from contracts import ALL_SERVICES
from testkit.scaffold.new_service import CannotScaffold, check_name, render_templates
from testkit.scaffold.service_lists import FILES, render_blocks

from tests.architecture.files import ROOT, files

NAME = "shift-plans"


@pytest.mark.parametrize(
    "name", ["", "Shift", "shift_plans", "-shift", "s" * 31, "ingest", "kpi-engine", "testkit", "json"]
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(name: str) -> None:
    with pytest.raises(CannotScaffold):
        check_name(ROOT, name)


def test_a_scaffold_has_no_placeholder_left_and_records_its_revision(tmp_path: Path) -> None:
    render_templates(tmp_path, NAME, now=datetime(2026, 3, 2, 8, tzinfo=UTC))
    texts = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert [name for name, text in texts.items() if re.search(r"\$(name|package|title|revision)", text)] == []
    versions = "src/shift_plans/migrations/versions"
    assert "2026_03_02_0800_first.py" in texts[f"{versions}/SHA256SUMS"]
    assert 'revision = "2026_03_02_0800_first"' in texts[f"{versions}/2026_03_02_0800_first.py"]


@pytest.mark.parametrize("file", FILES)
def test_a_generated_list_gets_the_new_service_and_nothing_else_changes(file: str) -> None:
    text = (ROOT / file).read_text()
    longer = render_blocks(text, [*ALL_SERVICES, NAME])
    assert re.search(r"shift[-_]plans", longer)
    assert render_blocks(longer) == text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scaffolded_service_passes_checks_and_its_own_tests(tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    for path in files(ROOT):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    ours = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in ours}  # noqa: TID251 - of children

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}: {done.stdout[-5000:]}{done.stderr[-2000:]}"

    run("make", "new", f"S={NAME}")
    run(".venv/bin/ruff", "check", ".")
    run(".venv/bin/ruff", "format", "--check", ".")
    run(".venv/bin/basedpyright", f"services/{NAME}")
    run(".venv/bin/lint-imports")
    run(".venv/bin/python", "-m", "testkit.dead_code")
    run(".venv/bin/python", "-m", "testkit.dependencies")
    run(".venv/bin/uplift", "docs", "--check")
    run(".venv/bin/python", "-m", "testkit.charts", "--check")
    run(".venv/bin/pytest", "-q", f"services/{NAME}", "tests/architecture/test_services.py")
