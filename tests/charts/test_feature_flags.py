"""Feature flags of the values are the file that every service reads."""

import json
from pathlib import Path

import pytest
from servicekit.feature_flags import PROVISIONAL_POINTS, FeatureFlags, FlagValue

from tests.charts.conftest import Render

pytestmark = pytest.mark.cluster

FLAG = {
    "state": "ENABLED",
    "variants": {"on": True, "off": False},
    "defaultVariant": "on",
    "targeting": {"if": [{"in": [{"var": "targetingKey"}, ["acme"]]}, "off"]},
}


def test_every_service_reads_the_flags_of_the_values(render: Render, tmp_path: Path) -> None:
    objects = render("prod", {"featureFlags": {PROVISIONAL_POINTS.name: FLAG}})
    content = objects.of_kind("ConfigMap")["uplift-feature-flags"]["data"]
    assert content.keys() == {"flags.json"}
    assert json.loads(content["flags.json"]) == {"flags": {PROVISIONAL_POINTS.name: FLAG}}
    file = tmp_path / "flags.json"
    file.write_text(content["flags.json"])
    flags = FeatureFlags(file)
    assert flags.evaluate(PROVISIONAL_POINTS, "acme") == FlagValue(False, "rule")
    assert flags.evaluate(PROVISIONAL_POINTS, "other") == FlagValue(True, "file")
    services = [
        (name, pod["spec"]) for name, pod in objects.pods() if pod["spec"]["containers"][0]["args"][0] == "servicekit"
    ]
    read = 0
    for name, pod in services:
        (container,) = pod["containers"]
        if container["args"][1] not in ("api", "work"):
            continue
        read += 1
        folder, _, key = next(
            each["value"] for each in container["env"] if each["name"] == "UPLIFT_FEATURE_FLAGS_FILE"
        ).rpartition("/")
        assert key == "flags.json"
        (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == folder)
        assert "subPath" not in mount, "it would not be renewed"
        (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
        assert volume["configMap"] == {"name": "uplift-feature-flags"}, name
    assert read == 14


def test_without_flags_there_is_no_file(render: Render) -> None:
    objects = render("prod")
    assert "uplift-feature-flags" not in objects.of_kind("ConfigMap")
    variables = {each["name"] for _, pod in objects.pods() for each in pod["spec"]["containers"][0].get("env", ())}
    assert "UPLIFT_FEATURE_FLAGS_FILE" not in variables
