"""What pages tell to type and is not run here is looked up: programs, their options, targets of make, files."""

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from all_in_one.main import app

from tests.architecture.files import ROOT
from tests.guides.pages import blocks, commands, find_shown_file, mode_of, pages

PAGES = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_UPLIFT = re.compile(r"(?<![\w/-])(?:\.venv/bin/)?uplift ([a-z][^\n|)\"`;]*)")
_MODULE = re.compile(r"python -m ([\w.]+)")
_MAKE = re.compile(r"(?<![\w-])make ([a-z][a-z-]*)")
_FILE = re.compile(r"(?<![\w./-])@?((?:charts|docs|libs|services|compose|tests)/[\w./-]+\.\w+)")


def typed(page: Path) -> Iterator[str]:
    """The commands of a page: its blocks, with lines that go on joined, and what stands as code within a sentence."""
    for block in blocks(page):
        if block.language == "sh":
            yield from block.text.replace("\\\n", " ").splitlines()
    yield from _SPAN.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.S))


def uplift_problem(arguments: str) -> str | None:
    """Why `uplift <arguments>` cannot be; None where it can."""
    command: Any = typer.main.get_command(app)
    for word in arguments.split("#")[0].split():
        commands = getattr(command, "commands", {})
        if word in commands:
            command = commands[word]
        elif commands and not command.invoke_without_command and not word.startswith("-"):
            return f"uplift has no command {word!r}"
        elif re.fullmatch(r"--[a-z-]+", word):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if word not in known | {"--help"}:
                return f"uplift {command.name} has no option {word}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_typed_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    wrong: list[str] = []
    for line in typed(page):
        if not line.lstrip().startswith(
            ("helm ", "kubectl ", "envoy=$(kubectl ")
        ):  # there `uplift` is a namespace or a release
            wrong += [problem for found in _UPLIFT.findall(line) if (problem := uplift_problem(found))]
        wrong += [f"make has no target {found!r}" for found in _MAKE.findall(line) if found not in targets]
        wrong += [f"there is no module {found}" for found in _MODULE.findall(line) if not module_is_there(found)]
        wrong += [f"there is no file {found}" for found in _FILE.findall(line) if not there(found)]
    assert wrong == []


def there(path: str) -> bool:
    """In the repository, or in each service's folder."""
    return (ROOT / path).exists() or any(ROOT.glob(f"services/*/{path}"))


def module_is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_blocks_are_shell() -> None:
    for page in PAGES:
        for block in commands(page):
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, f"{block.name}: {done.stderr}"


def test_a_page_that_shows_a_file_shows_it_as_it_is() -> None:
    shown = [(block, name) for page in pages() for block in blocks(page) if (name := find_shown_file(block))]
    assert shown
    for block, name in shown:
        assert block.text == (ROOT / name).read_text(), f"{block.name} is not {name}"


def test_what_is_run_names_no_port() -> None:
    """Where it answers is a choice of whoever starts it: `uplift url` says it."""
    fixed = re.compile(r"(127\.0\.0\.1|localhost):\d")
    run = [page for page in pages() if mode_of(page) in ("demo", "empty")]
    found = [
        block for page in run for block in commands(page) if "not run" not in block.notes and fixed.search(block.text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("tokn lead", "uplift has no command 'tokn'"),
        ("ingest --sourc x", "uplift ingest has no option --sourc"),
        ("dead-letters replay training 1 --tenant acme", None),
    ],
)
def test_a_command_that_is_not_there_is_found(arguments: str, problem: str | None) -> None:
    assert uplift_problem(arguments) == problem
