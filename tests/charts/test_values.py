"""Every value changes what is rendered, and a value that there is not is refused with its path."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml
from testkit.charts import PLATFORM_MODULE, list_variables
from testkit.programs.helm import HelmFailed

from tests.architecture.files import ROOT
from tests.charts.conftest import ENVIRONMENTS, SCALING, Render

CHART = ROOT / "charts/uplift"
Path = tuple[str, ...]


def _values(name: str = "values.yaml") -> dict[str, Any]:
    return yaml.safe_load((CHART / name).read_text())


def _schema() -> dict[str, Any]:
    return json.loads((CHART / "values.schema.json").read_text())


def _leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Lists and empty maps are leaves."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path, values


def _nested(path: Path, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    found = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merged(found[key], value) if both else value
    return found


# Values that say something only beside others, and what stands beside them.
BESIDE: dict[str, Any] = {**SCALING, "secrets": {"store": "aws"}}
OTHER: dict[Path, Any] = {
    ("publicUrl",): "https://elsewhere.example.org",
    ("autoscaling",): "hpa",
    ("scaling",): {"forms": {"api": {"min": 3, "max": 4, "triggers": []}}},
    ("featureFlags",): {"a-flag": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}},
    ("monitoring", "labels"): {"release": "prometheus"},
    **{("roles", role, "cpu"): "77m" for role in ("api", "work")},
    **{("roles", role, "memory"): "777Mi" for role in ("api", "work")},
    ("services", "kpi-engine", "work", "memory"): "777Mi",
}


def _different(path: Path, value: Any) -> Any:
    if path in OTHER:
        return OTHER[path]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if path[-1] == "to":
        return [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
    if path[-1] == "internetPorts":
        return [*value, 8444]
    if path[-1] == "secrets":
        return []
    return f"{value}7"


LEAVES = dict(_leaves(_values()))


@pytest.mark.cluster
def test_every_value_changes_what_is_rendered(render: Render) -> None:
    before = render(values=BESIDE)
    idle = [
        ".".join(path)
        for path, value in LEAVES.items()
        if render(values=_merged(BESIDE, _nested(path, _different(path, value)))) == before
    ]
    assert idle == []


def test_values_of_an_environment_are_differences_only() -> None:
    for environment in ENVIRONMENTS:
        same = [
            ".".join(path)
            for path, value in _leaves(_values(f"values/{environment}.yaml"))
            if path in LEAVES and LEAVES[path] == value
        ]
        assert same == [], environment


def test_the_schema_is_closed_and_names_what_there_is() -> None:
    open_maps = {
        "settings",
        "labels",
        "scaling",
        "services",
        "ipBlock",
        "namespaceSelector",
        "podSelector",
        "global",
        "service",
        # By name of a flag and of a variant; JsonLogic.
        "featureFlags",
        "variants",
        "targeting",
    }

    def look(schema: dict[str, Any], path: str) -> Iterator[str]:
        is_open = schema.get("type") == "object" and schema.get("additionalProperties") is not False
        if is_open and path.rpartition(".")[2] not in open_maps:
            yield path
        for name, inner in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
            yield from look(inner, f"{path}.{name}")
        for inner in (schema.get("additionalProperties"), schema.get("items")):
            if isinstance(inner, dict):
                yield from look(inner, path)

    assert list(look(_schema(), "values")) == []
    assert _schema()["properties"].keys() - {"global", "service"} == _values().keys()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gateways": {}}, "additional properties 'gateways' not allowed"),
    ({"roles": {"api": {"replica": 3}}}, "at '/roles/api': additional properties 'replica' not allowed"),
    ({"roles": {"api": {"replicas": "3"}}}, "at '/roles/api/replicas': got string, want integer"),
    ({"roles": {"api": {"lagPerReplica": 5}}}, "at '/roles/api': additional properties 'lagPerReplica' not allowed"),
    ({"autoscaling": "cron"}, "at '/autoscaling': value must be one of 'keda', 'hpa', 'none'"),
    ({"peers": {"postgresql": {"to": []}}}, "at '/peers/postgresql/to': minItems: got 0, want 1"),
    ({"settings": {"UPLIFT_DATABASE_POOL": 3}}, "at '/settings/UPLIFT_DATABASE_POOL': got number, want string"),
    ({"settings": {"UPLIFT_POOL": "3"}}, "settings.UPLIFT_POOL: there is no such variable; there are "),
    ({"settings": {"UPLIFT_SECRET": "x"}}, "settings.UPLIFT_SECRET: this is a secret; "),
    ({"services": {"ingst": {"iamRole": "arn:x"}}}, "services.ingst: there is no such service; there are forms, "),
    ({"services": {"forms": {"settings": {"INGEST_BODY_MB": "1"}}}}, "services.forms.settings.INGEST_BODY_MB: there is no"),
    ({"services": {"forms": {"secrets": ["X"]}}}, "services.forms.secrets.X: there is no such variable; there are none."),
    ({"scaling": {"ingst": {"api": {"min": 1, "max": 1, "triggers": []}}}}, "scaling.ingst: there is no such service"),
    ({"scaling": {"ingest": {"api": {"min": 0, "max": 1, "triggers": []}}}}, "at '/scaling/ingest/api/min': minimum"),
    ({"publicUrl": "https://uplift.example.org/"}, "at '/publicUrl': 'https://uplift.example.org/' does not match pattern"),
]  # fmt: skip


@pytest.mark.cluster
@pytest.mark.parametrize(("values", "words"), REFUSED, ids=lambda each: str(each)[:50])
def test_what_cannot_be_is_refused_with_its_path(values: dict[str, Any], words: str, render: Render) -> None:
    with pytest.raises(HelmFailed) as refused:
        render("prod", values)
    assert words in str(refused.value)


@pytest.mark.cluster
def test_settings_of_all_processes_give_way_to_those_of_a_service(render: Render) -> None:
    values: dict[str, Any] = {
        "settings": {"UPLIFT_CONNECTIONS": "100"},
        "services": {
            "ingest": {"settings": {"UPLIFT_CONNECTIONS": "200", "INGEST_UPLOADS": "3", "UPLIFT_DRAIN_SECONDS": "7.5"}},
            "training": {"settings": {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}},
        },
    }
    objects = render("prod", deepcopy(values))
    ingest = objects.environment_of("Deployment", "uplift-ingest-api")
    assert (ingest["UPLIFT_CONNECTIONS"], ingest["INGEST_UPLOADS"]) == ("200", "3")
    assert objects.environment_of("Deployment", "uplift-forms-api")["UPLIFT_CONNECTIONS"] == "100"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in objects.environment_of("Deployment", "uplift-training-api")
    pod = objects.of_kind("Deployment")["uplift-ingest-work"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 8 + 25


def test_no_default_is_written_twice() -> None:
    """A value that the Settings class has by itself is left to it."""
    assert set(_values()["settings"]) <= set(list_variables(PLATFORM_MODULE))
