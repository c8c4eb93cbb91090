"""Time, tenants and commits belong to the doors."""

import re

import pytest

from tests.architecture.files import PACKAGES, files, format_location

_DOORS_ONLY = re.compile(r"session\.(now|cause)\s*=(?!=)|\.set_tenants\(|\biterate_tenants\(|\.commit\(\)")


def find_lines_for_doors(text: str) -> list[str]:
    """The lines that change the time, the cause or the tenants of a session, or commit it. `Session.as_of` restores the
    time and the cause, so actions may use it."""
    return [line.strip() for line in text.splitlines() if _DOORS_ONLY.search(line)]


def test_actions_change_neither_time_nor_tenants_and_never_commit() -> None:
    found = {
        format_location(path): lines
        for package in PACKAGES.values()
        for path in files(package, ".py")
        if path.relative_to(package).parts[0].removesuffix(".py") in ("actions", "store", "model")
        if (lines := find_lines_for_doors(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "session.now = at",
        "session.cause=None",
        "await session.set_tenants(['acme'])",
        "async for tenant in iterate_tenants(sessions):",
        "await session.commit()",
    ],
)
def test_a_line_that_is_the_doors_is_found(line: str) -> None:
    assert find_lines_for_doors(f"def act(session):\n    {line}\n    return session.now == at") == [line]
