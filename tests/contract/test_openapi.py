"""One API, one manner: what the OpenAPI documents of all services hold together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from contracts import ALL_SERVICES
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from servicekit import FieldDoc, Service
from servicekit.door.addressing import ADDRESSED, IDS, NAMES, SLUG_OR_ID
from servicekit.door.field_docs import SHARED_FIELD_DOCS
from servicekit.door.route import iter_transactional_routes
from storage import schema_name

METHODS = ("get", "put", "post", "patch", "delete")
VERBS = {
    "add", "cancel", "change", "close", "complete", "correct", "count", "delete", "explain", "export", "get", "import",
    "list", "move", "open", "publish", "put", "read", "receive", "reconcile", "remove", "replace", "replay", "retire", "retry",
    "send", "start", "stream", "take", "test", "undo", "unschedule", "withdraw", "check", "restore",
}  # fmt: skip
PATH_IDS = {"version", *SLUG_OR_ID, *NAMES, *IDS} - {"agent"}


@dataclass(frozen=True)
class Operation:
    service: str
    method: str
    path: str
    told: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.service}{self.path}"

    def parameters(self, place: str = "") -> list[dict[str, Any]]:
        return [each for each in self.told.get("parameters", []) if place in ("", each["in"])]

    def answer(self) -> Mapping[str, Any]:
        """The schema of its success, where it is JSON."""
        (status,) = [each for each in self.told["responses"] if each in ("200", "201")] or ["204"]
        content = self.told["responses"].get(status, {}).get("content", {})
        return self.followed(content.get("application/json", {}).get("schema", {}))

    def followed(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        ref = schema.get("$ref")
        return self.document["components"]["schemas"][ref.rpartition("/")[2]] if ref else schema


@pytest.fixture(scope="session")
def documents(apps: dict[str, FastAPI]) -> dict[str, dict[str, Any]]:
    return {name: app.openapi() for name, app in apps.items()}


@pytest.fixture(scope="session")
def operations(documents: dict[str, dict[str, Any]]) -> list[Operation]:
    return [
        Operation(service, method, path, told, document)
        for service, document in documents.items()
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def field_docs(service: str) -> Mapping[str, FieldDoc]:
    """What the service itself says of its fields and parameters."""
    return import_module(f"{schema_name(service)}.api.field_docs").FIELD_DOCS


def schemas(documents: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for service, document in documents.items():
        for name, schema in document["components"]["schemas"].items():
            yield service, name, schema


def test_every_service_is_there(operations: list[Operation]) -> None:
    assert len(operations) > 100
    assert {each.service for each in operations} == set(ALL_SERVICES)
    assert {each.method for each in operations} <= set(METHODS)


def test_a_list_is_a_bounded_page(operations: list[Operation]) -> None:
    for each in operations:
        properties = each.answer().get("properties", {})
        query = {parameter["name"]: parameter for parameter in each.parameters("query")}
        is_list = each.told["operationId"].startswith("list_")
        assert is_list == (each.method == "get" and {"items", "next"} <= set(properties)) or not is_list, each.name
        assert each.answer().get("type") != "array", f"{each.name} answers a bare list"
        if "items" in properties:
            assert {"limit", "after"} <= set(query), each.name
            assert query["limit"]["schema"]["maximum"] <= 1000, each.name
            assert "next" in properties, each.name


def test_what_can_be_tried_is_a_dry_run(operations: list[Operation]) -> None:
    for each in operations:
        names = {parameter["name"] for parameter in each.parameters()}
        assert not names & {"preview", "simulate", "try", "check", "validate_only"}, each.name
        if "dry_run" in names:
            assert "dry_run" in each.answer()["properties"], f"{each.name}: the answer does not say that it was none"
    trying = {each.told["operationId"] for each in operations if "dry_run" in {p["name"] for p in each.parameters()}}
    assert {"undo_receipt", "import_people", "publish_blueprint", "put_kpi"} <= trying


def test_an_id_in_an_address_has_one_name(operations: list[Operation]) -> None:
    for each in operations:
        named = re.findall(r"{(\w+)}", each.path)
        # What a tenant configures in one service only, by the name that it gave.
        own = {f"?{name}": doc for name in named if (doc := field_docs(each.service).get(f"?{name}"))}
        assert all(doc.text == f"The {name[1:].replace('_', ' ')}'s name." for name, doc in own.items()), each.name
        assert {f"?{name}" for name in named} <= {f"?{name}" for name in PATH_IDS} | own.keys(), (
            f"{each.name}: is there a name for it already? Otherwise describe it in the service's api.field_docs."
        )
        assert [parameter["name"] for parameter in each.parameters("path")] == named
        for parameter in each.parameters("path"):
            told = {"?version": SHARED_FIELD_DOCS["?version"], **ADDRESSED, **own}[f"?{parameter['name']}"].text
            assert parameter["description"] == told, f"{each.name}: is it found in the way that it is everywhere?"
            assert (parameter["schema"].get("format") == "uuid") == (parameter["name"] in IDS), each.name


def test_what_names_somebody_takes_slug_or_id(operations: list[Operation]) -> None:
    for each in operations:
        for parameter in each.parameters("query"):
            if parameter["name"] in {"agent", "team", *SLUG_OR_ID}:
                assert re.search(r"slug or id", parameter["description"], re.IGNORECASE), each.name


def test_a_body_is_what_a_blueprint_holds(operations: list[Operation]) -> None:
    """An object, never a bare list; all of a kind at once by the name that their section of a blueprint has for them."""
    for each in operations:
        schema = each.told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        assert each.followed(schema).get("type") != "array", each.name
        if each.told["operationId"].startswith("replace_"):
            held = each.path.strip("/")
            assert list(each.followed(schema)["properties"]) == [held], each.name
            assert held in each.answer()["properties"], each.name


def test_what_is_retired_can_still_be_read_and_says_so(operations: list[Operation]) -> None:
    """As the status `retired`, or `retired` where there is no status."""
    by_id = {(each.service, each.told["operationId"]): each for each in operations}
    retired = [each for each in operations if each.told["operationId"].startswith("retire_")]
    assert len(retired) == 5
    for each in retired:
        reading = by_id[each.service, each.told["operationId"].replace("retire_", "get_")]
        answer = reading.answer()
        for variant in [reading.followed(one) for one in answer.get("oneOf", [answer])]:
            said = variant["properties"]
            assert "retired" in said or "retired" in said["status"]["enum"], reading.name


def test_operations_are_named_for_generators(operations: list[Operation]) -> None:
    ids = [(each.service, each.told["operationId"]) for each in operations]
    assert len(set(ids)) == len(ids)
    for service, name in ids:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name), f"{service}: {name}"
        assert name.split("_")[0] in VERBS, f"{service}: {name} does not begin with a verb"


def test_every_operation_is_described(operations: list[Operation]) -> None:
    for each in operations:
        assert each.told["summary"], each.name
        assert len(each.told.get("description", "")) > 10, each.name
        assert each.told.get("tags"), each.name


def test_an_operation_says_which_problems_it_answers_with(operations: list[Operation]) -> None:
    for each in operations:
        told = set(each.told["responses"])
        names = {parameter["name"] for parameter in each.parameters()}
        signed_in = each.told["operationId"] != "receive_logout"
        wanted = {"422", "429", "503"}
        wanted |= {"401", "403"} if signed_in else set()
        wanted |= {"404"} if "{" in each.path or "agent" in names else set()
        wanted |= {"409"} if signed_in and each.method != "get" else set()
        wanted |= {"413", "408"} if "requestBody" in each.told else set()
        assert wanted <= told, f"{each.name} does not say {sorted(wanted - told)}"
        for status, response in each.told["responses"].items():
            if int(status) >= 400:
                problem = response["content"]["application/problem+json"]["schema"]
                assert each.followed(problem)["title"] == "Problem", each.name
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"], each.name


def test_how_one_signs_in_is_said(documents: dict[str, dict[str, Any]], operations: list[Operation]) -> None:
    for document in documents.values():
        found = document["components"]["securitySchemes"]
        flow = found["login"]["flows"]["authorizationCode"]
        assert flow["authorizationUrl"].endswith("/oidc/authorize")
        assert {"openid", "organization"} <= set(flow["scopes"])
        assert found["token"]["scheme"] == "bearer"
    for each in operations:
        wanted = [] if each.told["operationId"] == "receive_logout" else [{"login": []}, {"token": []}]
        assert each.told["security"] == wanted, each.name


def test_no_schema_has_a_made_up_name_or_is_used_nowhere(documents: dict[str, dict[str, Any]]) -> None:
    for service, name, _ in schemas(documents):
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name), f"{service}: {name}"
        assert not name.startswith(("Body", "HTTPValidation")), f"{service}: {name}"
        assert f"/{name}'" in str(documents[service]), f"{service}: {name} is used nowhere"


def test_every_reference_leads_somewhere(documents: dict[str, dict[str, Any]]) -> None:
    for service, document in documents.items():
        for name in set(re.findall(r"#/components/schemas/([^']+)'", str(document))):
            assert name in document["components"]["schemas"], f"{service}: {name}"


def test_every_parameter_and_field_is_described_and_has_an_example(
    documents: dict[str, dict[str, Any]], operations: list[Operation]
) -> None:
    told = {f"{each.name} ?{one['name']}": {**one["schema"], **one} for each in operations for one in each.parameters()}
    for service, name, schema in schemas(documents):
        told |= {f"{service} {name}.{field}": said for field, said in schema.get("properties", {}).items()}
    assert [where for where, said in told.items() if len(said.get("description", "")) < 5] == []
    assert [where for where, said in told.items() if not ("examples" in said or "example" in said)] == []


def test_examples_are_what_the_schema_says(documents: dict[str, dict[str, Any]]) -> None:
    for service, name, schema in schemas(documents):
        store = {"components": documents[service]["components"]}
        for field, said in schema.get("properties", {}).items():
            checker = Draft202012Validator({**said, **store})
            for example in said["examples"]:
                problems = [each.message for each in checker.iter_errors(example)]
                assert problems == [], f"{service}: {name}.{field} {example!r}"


def test_no_word_is_for_a_field_that_is_not_there(
    documents: dict[str, dict[str, Any]], services: Sequence[Service]
) -> None:
    own = {name: field_docs(name) for name in documents}
    everywhere: set[str] = set()
    for service, document in documents.items():
        fields = {
            (name, each) for _, name, schema in schemas({service: document}) for each in schema.get("properties", {})
        }
        names = {f"{name}.{each}" for name, each in fields} | {each for _, each in fields}
        names |= {
            f"?{each['name']}"
            for methods in document["paths"].values()
            for told in methods.values()
            for each in told.get("parameters", [])
        }
        assert set(own[service]) <= names, service
        assert not set(own[service]) & set(SHARED_FIELD_DOCS), service
        everywhere |= names
    assert set(SHARED_FIELD_DOCS) <= everywhere


def lenient_scalars(schema: object, path: str = "") -> Iterator[str]:
    """Where a core schema takes a switch or number that JSON has in another form."""
    if isinstance(schema, dict):
        if schema.get("type") in ("bool", "int", "float") and not schema.get("strict"):
            yield f"{path} {schema['type']}"
        for key, value in schema.items():
            if key not in ("metadata", "default", "serialization"):
                yield from lenient_scalars(value, path if key in ("schema", "fields") else f"{path}/{key}")
    elif isinstance(schema, list):
        for each in schema:
            yield from lenient_scalars(each, path)


def test_bodies_take_switches_and_numbers_only_as_json_has_them(apps: dict[str, FastAPI]) -> None:
    found = {
        f"{service} {min(route.methods or ())} {route.path}: {each}"
        for service, app in apps.items()
        for route in iter_transactional_routes(app.routes)
        if route.body_field is not None
        for each in lenient_scalars(route.body_adapter.core_schema)
    }
    assert found == set()
