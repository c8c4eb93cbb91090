"""Compares the imports of each member of the workspace with the dependencies in its pyproject.toml, by `deptry`.

python -m testkit.dependencies
"""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from storage import schema_name

from testkit.paths import ROOT


def find_members(root: Path = ROOT) -> list[Path]:
    """The folders of the members, libraries first."""
    return [path.parent for part in ("libs", "services") for path in sorted(root.glob(f"{part}/*/pyproject.toml"))]


def map_modules(members: list[Path]) -> dict[str, str]:
    """The module of each member's distribution, by its name. deptry cannot find out by itself, because the members are
    installed as editable."""
    return {f"uplift-{member.name}": schema_name(member.name) for member in members}


def find_dependency_problems(member: Path, modules: Mapping[str, str]) -> list[str]:
    """A line for each dependency that is declared and not imported, or imported and not declared. Exceptions and their
    reasons are in the member's own `[tool.deptry]`. Raises RuntimeError when deptry itself fails."""
    names = ",".join(f"{name}={module}" for name, module in modules.items())
    command = [sys.executable, "-m", "deptry", "src", "--no-ansi", "--package-module-name-map", names]
    done = subprocess.run(command, cwd=member, capture_output=True, text=True)
    found = [f"{member.name}/{line}" for line in done.stderr.splitlines() if " DEP0" in line]
    if done.returncode and not found:
        raise RuntimeError(f"deptry failed in {member}: {done.stderr}")
    return found


def main() -> None:
    """Exits with status 1 and a line for each finding, if there is one."""
    members = find_members()
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(find_dependency_problems, members, repeat(map_modules(members))))
    if any(found):
        sys.exit("\n".join(line for lines in found for line in lines))


if __name__ == "__main__":
    main()
