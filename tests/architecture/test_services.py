"""The list of services is `contracts.ALL_SERVICES`. Python derives its lists from it; in files that cannot, such as
docker-compose.yml, `testkit.scaffold.service_lists` generates them. These tests read the result, however it came about.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
import yaml
from all_in_one.suite import SERVICES
from contracts import ALL_SERVICES
from gateway.bootstrap import bootstrap
from gateway.settings import GatewaySettings
from storage import schema_name
from testkit.scaffold.service_lists import FILES, find_stale_files

from tests.architecture.files import ROOT, files, format_location

PACKAGE_NAMES = {schema_name(each) for each in ALL_SERVICES}
WORKERS = {f"{each}-work" for each in ALL_SERVICES}


def _toml(path: str = "pyproject.toml") -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text())


def _compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def _containers(role: str) -> set[str]:
    return {name for name, each in _compose().items() if each.get("command") == ["servicekit", role]}


def _needed_by(container: str) -> set[str]:
    return set(_compose()[container]["depends_on"])


def _lag_urls(container: str) -> list[str]:
    return [
        match[1] for each in _compose()[container]["command"] if (match := re.match(r"--lag-url=http://(.+?):", each))
    ]


def _scrape_targets() -> set[str]:
    config = yaml.safe_load((ROOT / "charts/uplift/observability/prometheus.yaml").read_text())
    (job,) = [each for each in config["scrape_configs"] if each["job_name"] == "uplift"]
    return {target.removesuffix(":8000") for group in job["static_configs"] for target in group["targets"]}


def _entry_points() -> set[str]:
    found: set[str] = set()
    for path in ROOT.glob("services/*/pyproject.toml"):
        points = tomllib.loads(path.read_text())["project"].get("entry-points", {}).get("uplift.services", {})
        assert set(points) <= {path.parent.name}
        found |= set(points)
    return found


def _all_in_one_dependencies() -> set[str]:
    dependencies = _toml("services/all-in-one/pyproject.toml")["project"]["dependencies"]
    return {each.removeprefix("uplift-") for each in dependencies if each.startswith("uplift-")} & _entry_points()


def _routes_of_gateway() -> set[str]:
    (listener,) = bootstrap(GatewaySettings())["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    prefixes = [each["match"].get("path_separated_prefix", "") for each in routes]
    return {match[1] for each in prefixes if (match := re.fullmatch(r"/api/([^/]+)/v1", each))}


def _import_layer() -> set[str]:
    (contract,) = [each for each in _toml()["tool"]["importlinter"]["contracts"] if each["id"] == "packages"]
    return set(contract["layers"][1].split(" | "))


def _import_containers() -> set[str]:
    (contract,) = [each for each in _toml()["tool"]["importlinter"]["contracts"] if each["id"] == "inside"]
    return set(contract["containers"])


def _diagram() -> list[str]:
    """The services to which the HTTP door leads in docs/architecture.md."""
    (line,) = re.findall(r"^ *door --> ([^\n]*&[^\n]*)$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    return line.split(" & ")


PLACES: dict[str, tuple[Callable[[], Collection[str]], Collection[str]]] = {
    "entry points of members": (_entry_points, ALL_SERVICES),
    "dependencies of all-in-one": (_all_in_one_dependencies, ALL_SERVICES),
    "all_in_one.suite": (lambda: [each.name for each in SERVICES], ALL_SERVICES),
    "prefixes of the API": (lambda: [each.prefix for each in SERVICES], [f"/api/{each}/v1" for each in ALL_SERVICES]),
    "routes of the gateway": (_routes_of_gateway, ALL_SERVICES),
    "docker-compose.yml: api": (lambda: _containers("api"), ALL_SERVICES),
    "docker-compose.yml: work": (lambda: _containers("work"), WORKERS),
    "docker-compose.yml: before envoy": (
        lambda: _needed_by("envoy") - {"gateway", "keycloak", "page"},
        ALL_SERVICES,
    ),
    "docker-compose.yml: before demo": (lambda: _needed_by("demo") - {"reader", "envoy"}, WORKERS),
    "docker-compose.yml: lag for demo": (lambda: _lag_urls("demo"), WORKERS),
    "docker-compose.yml: lag for simulation": (lambda: _lag_urls("simulation"), WORKERS),
    "prometheus.yaml": (_scrape_targets, {*ALL_SERVICES, *WORKERS}),
    "pyproject.toml: layer of services": (_import_layer, {*PACKAGE_NAMES, "dev_idp", "simulator"}),
    "pyproject.toml: containers": (_import_containers, PACKAGE_NAMES),
    "docs/architecture.md": (_diagram, PACKAGE_NAMES),
}


def find_differences(found: Collection[str], expected: Collection[str]) -> list[str]:
    """What is missing, what is too much, and what is there twice."""
    have, want = Counter(found), Counter(expected)
    return sorted([*(f"-{each}" for each in want - have), *(f"+{each}" for each in have - want)])


@pytest.mark.parametrize("place", PLACES)
def test_a_place_lists_every_service_once(place: str) -> None:
    read, expected = PLACES[place]
    assert find_differences(read(), expected) == []


def test_a_service_that_is_missing_or_there_twice_is_found() -> None:
    assert find_differences(["forms", "ingest", "ingest", "idp"], ["forms", "ingest", "training"]) == [
        "+idp",
        "+ingest",
        "-training",
    ]


def test_generated_lists_are_up_to_date() -> None:
    assert [format_location(path) for path, _ in find_stale_files()] == [], "run `make services`"


def test_every_generated_list_of_which_a_service_is_missing_is_found() -> None:
    stale = [path.relative_to(ROOT).as_posix() for path, _ in find_stale_files(names=ALL_SERVICES[:-1])]
    assert sorted(stale) == sorted(FILES)


def find_incomplete_rules(settings: Mapping[str, Any]) -> list[str]:
    """The import rules that name some of the services and not all."""
    lists = {"root_packages": settings["root_packages"]}
    lists |= {each["id"]: each["source_modules"] for each in settings["contracts"] if "source_modules" in each}
    return [name for name, modules in lists.items() if PACKAGE_NAMES & set(modules) and PACKAGE_NAMES - set(modules)]


def test_import_rules_name_every_package() -> None:
    assert find_incomplete_rules(_toml()["tool"]["importlinter"]) == []


def test_an_import_rule_without_a_service_is_found() -> None:
    contracts = [
        {"id": "whole", "source_modules": ["contracts", *PACKAGE_NAMES]},
        {"id": "none", "source_modules": ["contracts"]},
        {"id": "some", "source_modules": sorted(PACKAGE_NAMES)[1:]},
    ]
    assert find_incomplete_rules({"root_packages": ["forms"], "contracts": contracts}) == ["root_packages", "some"]


def test_workspace_knows_every_member() -> None:
    members = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
    assert set(ALL_SERVICES) <= members
    assert {f"uplift-{each}" for each in members} <= set(_toml()["tool"]["uv"]["sources"])


def find_lists_of_services(text: str) -> list[int]:
    """The lines of Python at which a list of all services begins, or of all but the first."""
    if not all(f'"{each}"' in text for each in ALL_SERVICES[1:]):
        return []
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and {each.value for each in node.elts if isinstance(each, ast.Constant)} >= set(ALL_SERVICES[1:])
    ]


def test_no_python_file_lists_the_services_again() -> None:
    declared = ROOT / "libs/contracts/src/contracts/topics.py"
    found = [
        format_location(path, line)
        for path in files(ending=".py")
        if path != declared
        for line in find_lists_of_services(path.read_text())
    ]
    assert found == [], "derive it from contracts.ALL_SERVICES"
    assert find_lists_of_services(declared.read_text()) != []


def test_a_second_list_of_services_is_found() -> None:
    names = ", ".join(f'"{each}"' for each in ALL_SERVICES[1:])
    assert find_lists_of_services(f"x = 1\nfor each in ({names}): ...\ny = [{names}, 'more']") == [2, 3]
    assert find_lists_of_services(f"x = dict.fromkeys([{names[: names.rindex(',')]}])") == []
