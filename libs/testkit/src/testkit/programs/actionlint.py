"""actionlint, built by Go: it checks GitHub's workflows."""

from pathlib import Path

from testkit.programs.program import build_go_project

CURE = "install Go 1.24 or later, with which actionlint is built"
PROJECT = Path(__file__).with_name("actionlint")


def actionlint() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("actionlint", PROJECT, CURE, package="github.com/rhysd/actionlint/cmd/actionlint")
