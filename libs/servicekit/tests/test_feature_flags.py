"""Feature flags from a file in flagd's format, without a server."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from contracts import ALL_SERVICES
from servicekit.feature_flags import FLAGS, PROVISIONAL_POINTS, FeatureFlags, FlagValue
from servicekit.feature_flags.file import FlagFile

DOCS = Path(__file__).parents[3] / "docs" / "feature-flags.md"


def definition(**changes: Any) -> dict[str, Any]:
    """On for nobody but `acme`."""
    rule = {"if": [{"in": [{"var": "targetingKey"}, ["acme"]]}, "on"]}
    plain = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "targeting": rule}
    return {**plain, **changes}


def write(path: Path, **flags: Any) -> None:
    """As Kubernetes changes a mounted ConfigMap: another file takes the place of the old one."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"flags": {name.replace("_", "-"): each for name, each in flags.items()}}))
    os.replace(draft, path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


def test_without_a_file_every_flag_has_its_default() -> None:
    flags = FeatureFlags(None)
    assert {each: flags.is_on(FLAGS[each], "acme") for each in FLAGS} == {each: FLAGS[each].default for each in FLAGS}
    assert flags.evaluate(PROVISIONAL_POINTS, "acme") == FlagValue(PROVISIONAL_POINTS.default, "default")


@pytest.mark.parametrize(
    "changes, acme, other",
    [
        ({}, FlagValue(True, "rule"), FlagValue(False, "file")),
        ({"targeting": None}, FlagValue(False, "file"), FlagValue(False, "file")),
        ({"state": "DISABLED"}, FlagValue(True, "disabled"), FlagValue(True, "disabled")),
        ({"targeting": {"if": [True, "no-such-variant"]}}, None, None),
    ],
)
def test_a_rule_is_asked_by_tenant(
    file: Path, changes: dict[str, Any], acme: FlagValue | None, other: FlagValue | None
) -> None:
    write(file, provisional_points=definition(**changes))
    flags = FeatureFlags(file)
    found = [flags.evaluate(PROVISIONAL_POINTS, tenant) for tenant in ("acme", "other")]
    # A file with a rule that fails is not taken, so that the flag has its default.
    assert found == [acme or FlagValue(True, "default"), other or FlagValue(True, "default")]


def test_a_changed_file_is_read_again_and_a_wrong_one_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "uplift.flags")
    flags = FeatureFlags(file, look_seconds=0)
    assert flags.is_on(PROVISIONAL_POINTS, "other"), "the file is not there yet"
    write(file, provisional_points=definition())
    assert not flags.is_on(PROVISIONAL_POINTS, "other")
    assert "changed: provisional-points" in caplog.text
    for wrong in ("{", "[]", '{"flags": []}', '{"flags": {"provisional-points": {}}}'):
        file.write_text(wrong)
        caplog.clear()
        assert not flags.is_on(PROVISIONAL_POINTS, "other"), wrong
        assert "are not taken" in caplog.text, wrong
    write(file, provisional_points=definition(variants={"on": "yes", "off": "no"}))
    assert not flags.is_on(PROVISIONAL_POINTS, "other")
    assert "are not true or false" in caplog.text
    write(file)
    assert flags.is_on(PROVISIONAL_POINTS, "other")


def test_a_flag_that_nobody_declares_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, provisional_point=definition(), provisional_points=definition())
    flags = FeatureFlags(file)
    assert flags.is_on(PROVISIONAL_POINTS, "acme")
    assert "There is no feature flag `provisional-point`. There are: provisional-points." in caplog.text


def test_the_file_is_looked_at_now_and_then(file: Path) -> None:
    write(file, provisional_points=definition())
    flags = FeatureFlags(file, look_seconds=3600)
    assert not flags.is_on(PROVISIONAL_POINTS, "other")
    write(file)
    assert not flags.is_on(PROVISIONAL_POINTS, "other")


def test_a_file_that_was_away_is_read_again(file: Path) -> None:
    write(file, provisional_points=definition())
    flags = FlagFile(file, look_seconds=0)
    flags.refresh()
    away = file.rename(file.with_suffix(".away"))
    flags.refresh()
    assert flags.problem
    away.rename(file)
    flags.refresh()
    assert flags.problem is None


def test_definitions_are_as_they_stand_in_the_file(file: Path) -> None:
    write(file, provisional_points=definition())
    definitions, modified_ns = FeatureFlags(file).read_definitions()
    assert (definitions, modified_ns) == ({"provisional-points": definition()}, file.stat().st_mtime_ns)


def test_each_flag_has_an_owner_a_date_and_a_line_on_the_page() -> None:
    page = DOCS.read_text()
    for name, flag in FLAGS.items():
        assert flag.owner in ALL_SERVICES
        assert flag.expires_on > date(2026, 11, 28)
        assert (
            f"| `{name}` | {str(flag.default).lower()} | {flag.owner} | {flag.expires_on} | {flag.description} |"
            in page
        )
