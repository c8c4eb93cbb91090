"""The checks for unused code and for dependencies, on small wrong examples. `make check` runs them on the whole tree."""

from pathlib import Path

import pytest
from testkit.dead_code import find_dead_code
from testkit.dependencies import find_dependency_problems, find_members, map_modules

from tests.architecture.files import ROOT

MODULE = """
import json
from dataclasses import dataclass

@dataclass
class Report:
    title: str

class Reader:
    def read(self): ...
    def skim(self): ...

Reader().read()
print(Report("a"))
"""


def test_dead_code_is_found_and_fields_are_not(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    found = [line.partition(": ")[2] for line in find_dead_code([tmp_path])]
    assert found == ["unused import 'json'", "unused method 'skim'"]


@pytest.mark.parametrize(
    ("dependencies", "problem"),
    [
        ('["httpx", "uplift-contracts"]', None),
        ('["httpx", "uplift-contracts", "alembic"]', "DEP002 'alembic'"),
        ('["uplift-contracts"]', "DEP003 'httpx'"),
        ('["httpx"]', "DEP003 'contracts'"),
    ],
)
def test_dependencies_are_those_that_are_imported(tmp_path: Path, dependencies: str, problem: str | None) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/module.py").write_text("import contracts\nimport httpx\n")
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "uplift-x"\ndependencies = {dependencies}\n')
    found = find_dependency_problems(tmp_path, map_modules(find_members()))
    assert len(found) == (problem is not None)
    assert all(problem is not None and problem in line for line in found)


def test_every_member_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in find_members()} == {"libs", "services"}
    assert len(find_members()) == len([*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")])
