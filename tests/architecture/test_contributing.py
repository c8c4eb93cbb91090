"""What stands around a pull request: owners, hooks and proposed updates name what is there."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.files import ROOT, files, format_location


def owners(text: str) -> list[tuple[str, list[str]]]:
    """Pattern and teams of each line of CODEOWNERS."""
    lines = text.splitlines()
    parts = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern, teams) for pattern, *teams in parts]


def find_wrong_owners(text: str) -> list[str]:
    """Patterns of CODEOWNERS that lead nowhere or have no team; `*` where the first line is not for the rest."""

    def leads_somewhere(pattern: str) -> bool:
        path = ROOT / pattern.strip("/")
        return pattern == "*" or (path.exists() and path.is_dir() == pattern.endswith("/"))

    lines = owners(text)
    wrong = [
        pattern
        for pattern, teams in lines
        if not teams
        or not all(re.fullmatch(r"@[a-z-]+/[a-z-]+", team) for team in teams)
        or not leads_somewhere(pattern)
    ]
    return wrong if lines and lines[0][0] == "*" else ["*", *wrong]


def test_every_pattern_of_owners_leads_somewhere_and_has_teams() -> None:
    assert find_wrong_owners((ROOT / ".github/CODEOWNERS").read_text()) == []


def test_a_wrong_owner_is_found() -> None:
    assert find_wrong_owners("* @a/b\n/libs/ @a/b\n/libs @a/b\n/none/ @a/b\n/docs/\n/tests/ @a") == [
        "/libs", "/none/", "/docs/", "/tests/",
    ]  # fmt: skip
    assert find_wrong_owners("/libs/ @a/b") == ["*"]


def find_strange_hooks(config: Mapping[str, Any], checks: str) -> list[str]:
    """Hooks that call anything but a tool in `.venv` that the recipe `checks` calls."""
    found: list[str] = []
    for hook in (hook for repo in config["repos"] for hook in repo["hooks"]):
        program = hook["entry"].split()[0]
        name = Path(program).name
        called = f"$(BIN)/{name}" in checks or (name == "uplift" and "$(DOCS_CHECK)" in checks)
        if hook["language"] != "system" or not program.startswith(".venv/bin/") or not called:
            found.append(hook["id"])
    return found


def test_hooks_call_the_tools_that_make_check_calls() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    checks = (ROOT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}, "a second version of a tool"
    assert find_strange_hooks(config, checks) == []


def test_a_strange_hook_is_found() -> None:
    hooks = [
        {"id": name, "language": language, "entry": entry}
        for name, language, entry in (
            ("good", "system", ".venv/bin/ruff check"),
            ("own", "python", ".venv/bin/ruff check"),
            ("global", "system", "ruff check"),
            ("other", "system", ".venv/bin/black"),
        )
    ]
    assert find_strange_hooks({"repos": [{"hooks": hooks}]}, "$(BIN)/ruff check .") == ["own", "global", "other"]


def test_updates_are_proposed_where_there_are_versions() -> None:
    config = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    assert config["version"] == 2
    found = {each["package-ecosystem"]: ROOT / each["directory"].lstrip("/") for each in config["updates"]}
    assert all(each["schedule"]["interval"] in ("daily", "weekly", "monthly") for each in config["updates"])
    assert "dependency-groups" in tomllib.loads((found["pip"] / "pyproject.toml").read_text())
    assert (found["docker"] / "Dockerfile").exists()
    workflows = [format_location(path) for path in files(found["github-actions"] / ".github/workflows")]
    assert workflows
