"""Finds code that nothing uses: `vulture` over libraries, services and tests.

    python -m testkit.dead_code

Fields of models and dataclasses are left out, because FastAPI, pydantic and SQL read them by name. Other names that
frameworks call are listed in `[tool.vulture]` in pyproject.toml.
"""

import ast
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from vulture import Vulture  # pyright: ignore[reportMissingTypeStubs]

from testkit.paths import ROOT


def find_dead_code(
    paths: Iterable[Path], *, ignore_names: Iterable[str] = (), ignore_decorators: Iterable[str] = ()
) -> list[str]:
    """`file:line: unused function 'name'` for each function, class, variable and import below `paths` that nothing uses."""
    searched = [path for each in paths for path in ([each] if each.is_file() else sorted(each.rglob("*.py")))]
    vulture = Vulture(ignore_names=list(ignore_names), ignore_decorators=list(ignore_decorators))
    vulture.scavenge([str(path) for path in searched])  # pyright: ignore[reportUnknownMemberType]
    fields = {name for path in searched for name in _iter_field_names(path)}
    return [
        f"{os.path.relpath(item.filename, ROOT)}:{item.first_lineno}: {item.message}"
        for item in vulture.get_unused_code()
        if not (item.typ in ("variable", "attribute", "property") and item.name in fields)
    ]


def _iter_field_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                    yield each.target.id


def main() -> None:
    """Exits with status 1 and a line for each finding, if there is one."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["vulture"]
    paths = [path for pattern in config.pop("paths") for path in sorted(ROOT.glob(pattern))]
    found = find_dead_code(paths, **config)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
