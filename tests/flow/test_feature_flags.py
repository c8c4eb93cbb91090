"""A feature flag by tenant: in the answers of the service that reads it, for its administrators, in the audit log."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testkit import wait_for

from tests.flow.steps import set_up_tenant
from tests.flow.suite import Embedded

pytestmark = pytest.mark.timeout(240)

FLAG = "provisional-points"


def write(path: Path, *off_for: str) -> dict[str, Any]:
    """Puts the flag off for these tenants in the file. Returns its definition."""
    rule = {"if": [{"in": [{"var": "targetingKey"}, list(off_for)]}, "off"]}
    definition = {
        "state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on", "targeting": rule,
    }  # fmt: skip
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"flags": {FLAG: definition}}))
    os.replace(draft, path)
    return definition


def shown(suite: Embedded, who: str, **params: str) -> tuple[bool, str]:
    (flag,) = suite.all_items(who, "/api/identity/v1/feature-flags", **params)
    assert flag["flag"] == FLAG
    return flag["enabled"], flag["reason_code"]


def recorded(suite: Embedded) -> list[dict[str, Any]]:
    return suite.all_items("platform", "/api/identity/v1/audit", thing=f"feature_flag/{FLAG}")


def test_a_flag_is_switched_by_tenant_while_all_runs(new_suite: Callable[[str], Embedded], tmp_path: Path) -> None:
    suite, file = new_suite("flags"), tmp_path / "flags.json"
    suite.feature_flags_file = file
    first = write(file, "t2")
    suite.start("--no-demo")
    suite.set_platform_password()
    for tenant in ("t1", "t2"):
        set_up_tenant(suite, tenant)

    def provisional(who: str) -> Any:
        return suite.call(who, "GET", "/api/gamification/v1/balance")["provisional"]

    assert provisional("ada")["points"] == 0
    assert provisional("ada.t2") is None
    assert (shown(suite, "boss"), shown(suite, "boss.t2")) == ((True, "file"), (False, "rule"))
    assert shown(suite, "platform", tenant="t2") == (False, "rule")
    assert suite.request("ada", "GET", "/api/identity/v1/feature-flags").status_code == 403
    elsewhere = suite.request("boss", "GET", "/api/identity/v1/feature-flags", params={"tenant": "t2"})
    assert elsewhere.status_code == 403

    wait_for(lambda: len(recorded(suite)) == 1, seconds=30, every=0.1)
    second = write(file, "t1")
    wait_for(lambda: provisional("ada") is None, seconds=30, every=0.1)
    assert provisional("ada.t2")["points"] == 0
    wait_for(lambda: len(recorded(suite)) == 2, seconds=30, every=0.1)
    newer, older = recorded(suite)
    assert (older["action"], older["before"], older["after"]) == ("created", None, first)
    assert (newer["action"], newer["before"], newer["after"]) == ("updated", first, second)
    assert newer["actor"]["kind"] == "system"
    assert newer["changed"] == ["/targeting/if/0/in/1/0"]

    suite.stop()
    suite.start("--no-demo")
    assert shown(suite, "boss") == (False, "rule")
    third = write(file)
    wait_for(lambda: len(recorded(suite)) >= 3, seconds=30, every=0.1)
    entries = [(each["action"], each["before"], each["after"]) for each in recorded(suite)]
    expected = [("updated", second, third), ("updated", first, second), ("created", None, first)]
    assert entries == expected, "the restart itself was no change"
