"""Replicas follow the rendered shift windows, by KEDA or a plain HPA, and no Deployment says a number of its own then."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from all_in_one.main import app
from contracts import TOPICS
from testkit.programs.helm import HelmFailed
from typer.testing import CliRunner

from tests.architecture.files import ROOT
from tests.charts.conftest import SCALING, TRIGGER, Render

pytestmark = pytest.mark.cluster

SCALED = ["uplift-ingest-api", "uplift-ingest-work", "uplift-kpi-engine-work"]


def test_a_role_has_one_scaled_object_with_its_windows_cpu_and_lag(render: Render) -> None:
    scaled = render("prod", SCALING).of_kind("ScaledObject")
    assert sorted(scaled) == SCALED
    api, work = scaled["uplift-ingest-api"]["spec"], scaled["uplift-kpi-engine-work"]["spec"]
    assert (api["minReplicaCount"], api["maxReplicaCount"]) == (2, 12)
    assert api["triggers"] == [
        {
            "type": "cron",
            "name": "day-mon-fri",
            "metadata": {
                "timezone": "Europe/Berlin",
                "start": "45 7 * * 1-5",
                "end": "0 20 * * 1-5",
                "desiredReplicas": "6",
            },
        },
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}},
    ]
    assert [each["type"] for each in work["triggers"]] == ["cron", "kafka", "kafka", "kafka", "kafka", "cpu"]
    for each in (api, work):
        assert each["fallback"] == {
            "failureThreshold": 3,
            "replicas": each["minReplicaCount"],
            "behavior": "currentReplicasIfHigher",
        }
        behavior = each["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleUp"] == {"stabilizationWindowSeconds": 0, "tolerance": "0"}
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    down = work["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Percent", "value": 25, "periodSeconds": 60}]


def test_lag_is_that_of_the_groups_that_the_service_reads_in(render: Render) -> None:
    spec = render("prod", SCALING).of_kind("ScaledObject")["uplift-kpi-engine-work"]["spec"]
    lag = [each["metadata"] for each in spec["triggers"] if each["type"] == "kafka"]
    assert {each["topic"] for each in lag} == {
        topic.name for topic in TOPICS.values() if "kpi-engine" in topic.readers and topic.partitions > 1
    }
    for each in lag:
        assert each["consumerGroup"] == f"kpi-engine:{each['topic']}"
        assert each["offsetResetPolicy"] == "earliest"


def test_lag_is_asked_for_as_the_process_itself_speaks_to_kafka(render: Render) -> None:
    def security(values: dict[str, Any]) -> set[tuple[str, str, str]]:
        spec = render("prod", {**SCALING, **values}).of_kind("ScaledObject")["uplift-kpi-engine-work"]["spec"]
        return {
            (each["metadata"]["tls"], each["metadata"]["sasl"], each["authenticationRef"]["name"])
            for each in spec["triggers"]
            if each["type"] == "kafka"
        }

    assert security({}) == {("enable", "scram_sha512", "uplift-kafka")}
    plain: dict[str, Any] = {
        "UPLIFT_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "UPLIFT_KAFKA_SASL_MECHANISM": "PLAIN",
    }
    assert security({"settings": plain}) == {("disable", "plaintext", "uplift-kafka")}
    spec = render("prod", {**SCALING, "kafka": {"caSecret": "ca"}}).of_kind("TriggerAuthentication")["uplift-kafka"][
        "spec"
    ]
    assert spec["secretTargetRef"] == [{"parameter": "ca", "name": "ca", "key": "ca.crt"}]
    environment = render("prod", SCALING).environment_of("Deployment", "uplift-kpi-engine-work")
    assert {each["name"] for each in spec["env"]} < set(environment)
    off = {"settings": {"UPLIFT_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}}
    objects = render("prod", {**SCALING, **off})
    assert objects.of_kind("TriggerAuthentication") == {}
    assert "UPLIFT_KAFKA_PASSWORD" not in objects.environment_of("Deployment", "uplift-kpi-engine-work")


def test_a_source_of_cpu_alone_has_no_fallback(render: Render) -> None:
    """KEDA refuses one: apis/keda/v1alpha1/scaledobject_types.go, CheckFallbackValid."""
    spec = render("prod", SCALING).of_kind("ScaledObject")["uplift-ingest-work"]["spec"]
    assert [each["type"] for each in spec["triggers"]] == ["cpu"]
    assert "fallback" not in spec


@pytest.mark.parametrize("kind", ["keda", "hpa", "none"])
def test_a_deployment_has_replicas_only_without_an_autoscaler(kind: str, render: Render) -> None:
    objects = render("prod", {**SCALING, "autoscaling": kind})
    fixed = {name for name, each in objects.of_kind("Deployment").items() if "replicas" in each["spec"]}
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        for each in objects.of_kind(kind).values()
    }
    assert fixed | scaled == set(objects.of_kind("Deployment"))
    assert fixed & scaled == set()
    assert sorted(scaled) == ([] if kind == "none" else SCALED)


def test_a_plain_autoscaler_has_the_same_maximum(render: Render) -> None:
    found = render("prod", {**SCALING, "autoscaling": "hpa"}).of_kind("HorizontalPodAutoscaler")
    spec = found["uplift-ingest-api"]["spec"]
    assert spec["maxReplicas"] == 12
    assert "minReplicas" not in spec, "what `uplift scaling apply` moves is not reset by an upgrade"
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


def test_a_name_that_keda_would_make_too_long_is_refused(render: Render) -> None:
    with pytest.raises(HelmFailed, match="longer than 63 characters: choose a shorter release name"):
        render("prod", SCALING, release="a-release-with-a-name-that-is-too-long-here")


def test_the_chart_takes_what_uplift_scaling_renders(render: Render) -> None:
    rendered = CliRunner().invoke(app, ["scaling", "render", str(ROOT / "charts/uplift/shifts/prod.yaml")])
    assert rendered.exit_code == 0, rendered.output
    values: dict[str, Any] = yaml.safe_load(rendered.output)
    scaled = render("prod", deepcopy(values)).of_kind("ScaledObject")
    expected = {
        f"uplift-{service}-{role}": of for service, roles in values["scaling"].items() for role, of in roles.items()
    }
    assert scaled.keys() == expected.keys()
    for name, of in expected.items():
        cron = [each["metadata"] for each in scaled[name]["spec"]["triggers"] if each["type"] == "cron"]
        assert [(each["timezone"], each["start"], each["end"], each["desiredReplicas"]) for each in cron] == [
            (each["timezone"], each["start"], each["end"], str(each["replicas"])) for each in of["triggers"]
        ]
    assert TRIGGER.keys() == {key for of in expected.values() for each in of["triggers"] for key in each}
