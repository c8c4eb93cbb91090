"""A real API server takes every object: rules in CEL, defaults and Pod Security, which schemas do not know."""

from collections.abc import Iterator
from typing import Any

import pytest
from testkit.fixtures import started_or_skipped
from testkit.programs.helm import KUBE_VERSION
from testkit.programs.kubernetes import VERSION, ApiServer

from tests.charts.cluster import create_definitions, create_namespace
from tests.charts.conftest import ENVIRONMENTS, SCALING, Render
from tests.charts.objects import Object

pytestmark = pytest.mark.cluster

AUTOSCALERS = ("keda", "hpa")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With the custom resources, and a namespace for each environment that takes restricted pods only."""
    with started_or_skipped(lambda: ApiServer(tmp_path_factory.mktemp("kubernetes"))) as started:
        create_definitions(started)
        for name in ("keycloak", "prod", *(f"{each}-{kind}" for each in ENVIRONMENTS for kind in AUTOSCALERS)):
            create_namespace(started, name)
        yield started


def _pod(name: str, template: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **template["metadata"]},
        "spec": template["spec"],
    }


@pytest.mark.parametrize("autoscaling", AUTOSCALERS)
def test_every_object_is_taken_without_a_warning(
    server: ApiServer, render: Render, environment: str, autoscaling: str
) -> None:
    objects = render(environment, {**SCALING, "autoscaling": autoscaling})
    namespace = f"{environment}-{autoscaling}"
    answers: list[tuple[str, Any]] = [
        (f"{each['kind']} {each['metadata']['name']}", server.create(each, namespace=namespace, dry_run=True))
        for each in objects
    ]
    for account in objects.of_kind("ServiceAccount").values():
        server.create(account, namespace=namespace).raise_for_status()
    for number, (name, template) in enumerate(objects.pods()):
        answers.append(
            (f"pod of {name}", server.create(_pod(f"pod-{number}", template), namespace=namespace, dry_run=True))
        )
    assert {name: answer.text for name, answer in answers if not answer.is_success} == {}
    assert {name: answer.headers["warning"] for name, answer in answers if "warning" in answer.headers} == {}
    assert len(answers) > 120


def test_it_refuses_what_is_not_right(server: ApiServer, render: Render) -> None:
    objects = render("prod")

    def refusal(body: Object) -> str:
        return server.create(body, namespace="prod", dry_run=True).json()["message"]

    server.create(objects.of_kind("ServiceAccount")["uplift-page"], namespace="prod").raise_for_status()
    pod = _pod("pod", next(template for _, template in objects.pods()))
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    assert 'violates PodSecurity "restricted:latest"' in refusal(pod)
    policy = objects.of_kind("SecurityPolicy")["uplift-read"]
    del policy["spec"]["jwt"]["providers"][0]["remoteJWKS"]
    assert "either remoteJWKS or localJWKS must be specified." in refusal(policy)
    route = objects.of_kind("HTTPRoute")["uplift-page"]
    route["spec"]["rules"][0]["matches"][0]["way"] = "/"
    assert "unknown field" in refusal(route)


def test_it_drops_the_tolerance_of_an_autoscaler(server: ApiServer, render: Render) -> None:
    """Kubernetes 1.34 knows it behind a feature gate only: the guide asks for 1.35."""
    scaler = render("prod", {**SCALING, "autoscaling": "hpa"}).of_kind("HorizontalPodAutoscaler")["uplift-ingest-api"]
    taken = server.create(scaler, namespace="prod", dry_run=True).json()
    assert scaler["spec"]["behavior"]["scaleUp"].pop("tolerance") == "0"
    assert "tolerance" not in taken["spec"]["behavior"]["scaleUp"]
    assert taken["spec"]["behavior"]["scaleUp"].items() >= scaler["spec"]["behavior"]["scaleUp"].items()


def test_the_chart_is_rendered_for_its_version() -> None:
    assert VERSION.rpartition(".")[0] == KUBE_VERSION.rpartition(".")[0]
