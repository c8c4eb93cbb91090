"""What the guards look at: the files of this repository that people write."""

import re
from collections.abc import Iterator
from pathlib import Path

from contracts import ALL_SERVICES
from storage import schema_name

ROOT = Path(__file__).parents[2]
PACKAGES = {name: ROOT / "services" / name / "src" / schema_name(name) for name in ALL_SERVICES}

_NOT_OURS = {
    ".git", ".venv", ".uplift", "node_modules", "dist", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis",
    ".import_linter_cache",
}  # fmt: skip


def files(folder: Path = ROOT, ending: str = "") -> Iterator[Path]:
    """All files below `folder` that are neither installed nor built."""
    for path in sorted(folder.iterdir()):
        if path.name in _NOT_OURS:  # `.git` is a file in a worktree
            continue
        if path.is_dir() and not path.name.endswith(".egg-info"):
            yield from files(path, ending)
        elif path.is_file() and path.name.endswith(ending):
            yield path


def sources() -> Iterator[Path]:
    """Python that runs, not that tests."""
    for part in ("libs", "services"):
        for path in files(ROOT / part, ".py"):
            if "src" in path.relative_to(ROOT).parts:
                yield path


def format_location(path: Path, line: int | None = None) -> str:
    """`file:line`, the file as it is called in this repository; one that is elsewhere by its name."""
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return f"{name}{'' if line is None else f':{line}'}"


def lines_with(path: Path, pattern: str) -> Iterator[str]:
    """`file:line: text` of every line in which the regular expression is found."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.search(pattern, line):
            yield f"{format_location(path, number)}: {line.strip()[:120]}"
