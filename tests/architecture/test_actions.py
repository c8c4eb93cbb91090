"""Time, tenants and commits belong to the doors."""

import re

from tests.architecture.files import PACKAGES, files, format_location

_DOORS_ONLY = re.compile(r"session\.(now|cause)\s*=(?!=)|\.set_tenants\(|\biterate_tenants\(|\.commit\(\)")

# One batch holds many events, and each effect bears the time and the cause of its own event.
_PER_EVENT = {
    "services/gamification/src/gamification/actions/ledger_events.py",
    "services/training/src/training/actions/bands.py",
}


def test_actions_change_neither_time_nor_tenants_and_never_commit() -> None:
    found = [
        f"{format_location(path)}: {line.strip()}"
        for package in PACKAGES.values()
        for path in files(package, ".py")
        if path.relative_to(package).parts[0].removesuffix(".py") in ("actions", "store", "model")
        if format_location(path) not in _PER_EVENT
        for line in path.read_text(encoding="utf-8").splitlines()
        if _DOORS_ONLY.search(line)
    ]
    assert found == []
