"""What an installation consists of, environment by environment, a line an object, so that a change of the chart is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.files import ROOT
from tests.charts.objects import Object, Objects

pytestmark = pytest.mark.cluster

GOLDENS = Path(__file__).with_name("goldens")


def summary(objects: Objects) -> str:
    return "".join(f"{line}\n" for line in sorted(_lines(objects)))


def _lines(objects: Objects) -> Iterator[str]:
    for each in objects:
        kind, name = each["kind"], each["metadata"]["name"]
        words = [f"{key}={value}" for key, value in SUMMARIES.get(kind, lambda _: {})(each).items()]
        yield " ".join([kind, name, *words])


def _pod(template: Object) -> dict[str, Any]:
    spec = template["spec"]
    (container,) = spec["containers"]
    requests = container["resources"]["requests"]
    return {
        "args": ",".join(container["args"]),
        "image": container["image"],
        "cpu": requests["cpu"],
        "memory": requests["memory"],
        "env": ",".join(each["name"] for each in container.get("env", ())),
    }


def _deployment(each: Object) -> dict[str, Any]:
    spec = each["spec"]
    return {
        "replicas": spec.get("replicas", "scaled"),
        "grace": spec["template"]["spec"]["terminationGracePeriodSeconds"],
        **_pod(spec["template"]),
    }


def _scaled_object(each: Object) -> dict[str, Any]:
    spec = each["spec"]
    triggers = ",".join(trigger.get("name", trigger["type"]) for trigger in spec["triggers"])
    return {"min": spec["minReplicaCount"], "max": spec["maxReplicaCount"], "triggers": triggers}


def _http_route(each: Object) -> dict[str, Any]:
    (rule,) = each["spec"]["rules"]
    matches = (f"{match.get('method', '*')}:{match['path']['value']}" for match in rule["matches"])
    backend = rule["backendRefs"][0]["name"] if "backendRefs" in rule else "404"
    return {"to": backend, "class": each["metadata"]["labels"]["uplift/route-class"], "matches": ",".join(matches)}


def _network_policy(each: Object) -> dict[str, Any]:
    def ports(rules: Any) -> str:
        return ",".join(str(port["port"]) for rule in rules for port in rule["ports"])

    return {"in": ports(each["spec"].get("ingress", ())), "out": ports(each["spec"].get("egress", ()))}


SUMMARIES = {
    "Deployment": _deployment,
    "Job": lambda each: _pod(each["spec"]["template"]),
    "ScaledObject": _scaled_object,
    "HTTPRoute": _http_route,
    "NetworkPolicy": _network_policy,
    "Gateway": lambda each: {listener["name"]: listener["hostname"] for listener in each["spec"]["listeners"]},
    "ExternalSecret": lambda each: {"keys": ",".join(key["secretKey"] for key in each["spec"]["data"])},
}


def test_an_environment_consists_of_what_it_did(objects: Objects, environment: str) -> None:
    golden, found = GOLDENS / f"{environment}.txt", summary(objects)
    fresh = ROOT / ".uplift/goldens" / golden.name
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text(found)
    expected = golden.read_text() if golden.exists() else ""
    assert found == expected, f"If this is meant: cp {fresh.relative_to(ROOT)} {golden.relative_to(ROOT)}"
