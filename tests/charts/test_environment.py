"""A process gets the same variables from docker-compose.yml, the stack of plain processes and the chart.

What a service may get at all comes from its Settings classes. A variable that one of the three does not give is an error
unless it is listed here with its reason.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from contracts import ALL_SERVICES
from storage import schema_name
from testkit.charts import PLATFORM_MODULE, list_topics, list_variables
from testkit.stack import Stack

from tests.architecture.files import ROOT
from tests.charts.conftest import Render

ONLY = {
    "UPLIFT_KAFKA_SESSION_SECONDS": ({"stack"}, "tests do not wait half a minute for a killed reader"),
    "UPLIFT_KAFKA_SECURITY_PROTOCOL": ({"chart"}, "compose and the stack have a network of their own"),
    "UPLIFT_KAFKA_USERNAME": ({"chart"}, "as its protocol"),
    "UPLIFT_KAFKA_PASSWORD": ({"chart"}, "as its protocol"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ({"compose", "chart"}, "the stack runs no collector"),
}
ROLES = ("api", "work")


def read_compose() -> dict[str, Any]:
    """The containers, with YAML's anchors resolved and variables as they are written."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def read_stack() -> dict[str, str]:
    """What every process of the stack gets."""
    parts = SimpleNamespace(
        postgres=SimpleNamespace(url=lambda role="postgres", database="": f"postgresql+psycopg://{role}@h/{database}"),
        kafka=SimpleNamespace(address="h:1"),
        mongodb=SimpleNamespace(url="mongodb://h"),
        keycloak=SimpleNamespace(url="http://h"),
        url="http://h",
        _secret=lambda name: name,
        _environment={},
    )
    return Stack.settings(parts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def known_to(service: str) -> set[str]:
    return {*list_variables(PLATFORM_MODULE), *list_variables(f"{schema_name(service)}.settings")}


def gaps(found: dict[str, set[str]]) -> list[str]:
    """By shape the variables that it gives: those that not all give."""
    everything = set().union(*found.values())
    return [
        f"{name}: only in {sorted(shapes)}"
        for name in sorted(everything)
        if (shapes := {shape for shape, names in found.items() if name in names}) != found.keys()
        and shapes != (ONLY.get(name, (set(), ""))[0] & found.keys())
    ]


def of_compose(container: str) -> set[str]:
    return set(read_compose()[container]["environment"])


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_compose_and_stack_give_a_service_the_same(service: str) -> None:
    stack = set(read_stack()) & known_to(service) - {"UPLIFT_ADMIN_DATABASE_URL"}
    for container in (service, f"{service}-work"):
        assert gaps({"compose": of_compose(container), "stack": stack}) == []


@pytest.mark.cluster
@pytest.mark.parametrize("service", ALL_SERVICES)
def test_the_chart_gives_a_service_what_compose_gives(service: str, render: Render) -> None:
    objects = render("prod")
    for container, role in ((service, "api"), (f"{service}-work", "work")):
        chart = objects.environment_of("Deployment", f"uplift-{service}-{role}")
        assert gaps({"compose": of_compose(container), "chart": set(chart)}) == []
        (pod,) = objects.of_kind("Deployment")[f"uplift-{service}-{role}"]["spec"]["template"]["spec"]["containers"]
        assert pod["args"] == read_compose()[container]["command"]


@pytest.mark.cluster
@pytest.mark.parametrize("job", ["migrate", "topics", "provision"])
def test_jobs_get_what_compose_gives_and_the_programs_read(job: str, render: Render) -> None:
    """Compose migrates and makes topics in one container; the topics alone need no secret."""
    objects = render("prod")
    chart = objects.environment_of("Job", f"uplift-{job}")
    compose = of_compose("realm" if job == "provision" else "schemas")
    needless = (
        {name for name, secret in list_variables(PLATFORM_MODULE).items() if secret} if job == "topics" else set()
    )
    assert gaps({"compose": compose - needless, "chart": set(chart)}) == []
    known = {*known_to("identity"), *list_variables("all_in_one.provision")}
    assert set(chart) <= known
    (pod,) = objects.of_kind("Job")[f"uplift-{job}"]["spec"]["template"]["spec"]["containers"]
    module, *arguments = read_compose()["realm" if job == "provision" else "schemas"]["command"]
    assert pod["args"][0] == module
    assert set(pod["args"][1:]) <= set(arguments)


@pytest.mark.cluster
def test_secrets_are_what_the_settings_say(render: Render) -> None:
    objects = render("prod")
    for service in ALL_SERVICES:
        secret = {
            **list_variables(PLATFORM_MODULE),
            **list_variables(f"{schema_name(service)}.settings"),
        }
        for role in ROLES:
            for name, value in objects.environment_of("Deployment", f"uplift-{service}-{role}").items():
                assert secret[name] == value.startswith("secret: "), name


def test_a_gap_is_found() -> None:
    assert gaps({"compose": {"A"}, "chart": {"A", "B"}}) == ["B: only in ['chart']"]
    assert gaps({"compose": {"A"}, "stack": {"A", "UPLIFT_KAFKA_SESSION_SECONDS"}}) == []
    assert list_topics("kpi-engine") == ["legs", "legs.history", "agent-states", "submissions"]
    assert Path(ROOT / "charts/uplift/generated/services.yaml").exists()
