"""Compares what each member of the workspace imports with what its pyproject.toml declares: `deptry`, once for each member.

python -m testkit.dependencies
"""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from storage import schema_name

ROOT = Path(__file__).parents[4]


def find_members(root: Path = ROOT) -> list[Path]:
    """The folders of the members, libraries first."""
    return [path.parent for part in ("libs", "services") for path in sorted(root.glob(f"{part}/*/pyproject.toml"))]


def map_modules(members: list[Path]) -> dict[str, str]:
    """The module of each distribution. deptry cannot read it from members that are installed in place."""
    return {f"uplift-{member.name}": schema_name(member.name) for member in members}


def find_dependency_problems(member: Path, modules: Mapping[str, str]) -> list[str]:
    """A line for each dependency that is declared and not imported, or imported and not declared. Exceptions, each with
    its reason, are in the member's own `[tool.deptry]`."""
    names = ",".join(f"{name}={module}" for name, module in modules.items())
    command = [sys.executable, "-m", "deptry", "src", "--no-ansi", "--package-module-name-map", names]
    done = subprocess.run(command, cwd=member, capture_output=True, text=True)
    found = [f"{member.name}/{line}" for line in done.stderr.splitlines() if " DEP0" in line]
    if done.returncode and not found:
        raise RuntimeError(f"deptry failed in {member}: {done.stderr}")
    return found


def main() -> None:
    members = find_members()
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(find_dependency_problems, members, repeat(map_modules(members))))
    if any(found):
        sys.exit("\n".join(line for lines in found for line in lines))


if __name__ == "__main__":
    main()
