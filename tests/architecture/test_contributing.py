"""What stands around a pull request: owners, hooks and proposed updates name what is there."""

import re
import tomllib
from pathlib import Path

import yaml

from tests.architecture.files import ROOT, files, format_location


def owners() -> list[tuple[str, list[str]]]:
    """Pattern and teams of each line of CODEOWNERS."""
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    parts = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern, teams) for pattern, *teams in parts]


def test_every_pattern_of_owners_leads_somewhere_and_has_teams() -> None:
    for pattern, teams in owners():
        assert teams, pattern
        assert all(re.fullmatch(r"@[a-z-]+/[a-z-]+", team) for team in teams), pattern
        assert pattern == "*" or (ROOT / pattern.strip("/")).is_dir() == pattern.endswith("/"), pattern
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), pattern
    assert owners()[0][0] == "*", "whatever no line names has an owner too"


def test_hooks_call_the_tools_that_make_check_calls() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    checks = (ROOT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}, "a second version of a tool"
    for hook in config["repos"][0]["hooks"]:
        program, first, *_ = f"{hook['entry']} -".split()
        assert hook["language"] == "system", hook["id"]
        assert program.startswith(".venv/bin/"), hook["id"]
        name = Path(program).name
        known = f"$(BIN)/{name}" in checks or (name == "uplift" and "$(DOCS_CHECK)" in checks)
        assert known, f"{hook['id']}: `make check` does not call {name} {first}"


def test_updates_are_proposed_where_there_are_versions() -> None:
    config = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    assert config["version"] == 2
    found = {each["package-ecosystem"]: ROOT / each["directory"].lstrip("/") for each in config["updates"]}
    assert all(each["schedule"]["interval"] in ("daily", "weekly", "monthly") for each in config["updates"])
    assert "dependency-groups" in tomllib.loads((found["pip"] / "pyproject.toml").read_text())
    assert (found["docker"] / "Dockerfile").exists()
    workflows = [format_location(path) for path in files(found["github-actions"] / ".github/workflows")]
    assert workflows
