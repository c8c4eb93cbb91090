"""A service's OpenAPI document: FastAPI's description of the routes, and what the HTTP door adds to each operation.

Nothing here is configured by route: which problems an operation may respond with follows from what the route uses."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from servicekit.door.field_docs import SHARED_FIELD_DOCS, FieldDoc
from servicekit.door.idempotency import WRITE_METHODS
from servicekit.door.route import TransactionalRoute, iter_transactional_routes
from servicekit.errors import ProblemDocument

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_REF = "#/components/schemas/{model}"
_RESPONSE_DESCRIPTIONS = {
    401: "No valid access token: none was sent, or it is over.",
    403: "The caller may not do this, or may not see whom it is about.",
    404: "What the address or a parameter names is not there.",
    408: "The body did not come in time.",
    409: "It conflicts with what is there.",
    412: "It is no longer, or not yet, as the request says that it must be.",
    413: "The body is larger than is taken here.",
    422: "Something in the request cannot be taken as it is; `errors` says what, where, and the cure.",
    429: "Too many requests at the moment. Come back after `Retry-After` seconds.",
    500: "A fault of the server's own; the cause is in its log.",
    503: "Something that this needs is away. Come back after `Retry-After` seconds.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}, "example": 2}}
_EXAMPLES = {
    "uuid": "0198c3a2-7f00-7000-8000-000000000000",
    "date": "2026-03-04",
    "date-time": "2026-03-04T08:00:00Z",
    "binary": "",
}
_DECIMAL = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?$"
_MAX_EXAMPLE_DEPTH = 6
_NAMES = frozenset({"agent", "team", "org_unit", "tenant", "kpi"})
"""Query parameters that refer to an object which may not exist."""


def operation_name(route: APIRoute) -> str:
    """The `operationId` of a route: its handler's name, a verb and a noun."""
    return route.name


def customize_openapi(app: FastAPI, *, field_docs: Mapping[str, FieldDoc], security: Mapping[str, Any]) -> None:
    """Replaces `app.openapi` by one that completes FastAPI's document. `field_docs`: descriptions and examples of the
    service's own fields and parameters; `security`: OpenAPI's security schemes, each of which is sufficient."""
    build_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = None
            document = _rename_schemas(build_openapi())
            docs = {**SHARED_FIELD_DOCS, **field_docs}
            _complete_operations(document, list(iter_transactional_routes(app.routes)), docs, security)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _rename_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """Replaces schema names that FastAPI generates: `Page_X_` by `XPage`, and `Body_x` (a form's fields) by `XForm`."""
    renamed: dict[str, str] = {}
    for name in document.get("components", {}).get("schemas", {}):
        if found := re.fullmatch(r"Page_(\w+)_", name):
            renamed[name] = f"{found[1]}Page"
        elif found := re.fullmatch(r"Body_(\w+)", name):
            renamed[name] = "".join(part.title() for part in found[1].split("_")) + "Form"
    text = json.dumps(document)
    for old, new in renamed.items():
        text = text.replace(f'#/components/schemas/{old}"', f'#/components/schemas/{new}"').replace(
            f'"{old}": {{', f'"{new}": {{'
        )
    return json.loads(text)


def _complete_operations(
    document: dict[str, Any],
    routes: Sequence[TransactionalRoute],
    field_docs: Mapping[str, FieldDoc],
    security: Mapping[str, Any],
) -> None:
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for schema in schemas.values():
        _close(schema)
    problem = ProblemDocument.model_json_schema(ref_template=_REF)
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem | {"title": "Problem"}
    components["securitySchemes"] = dict(security)
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["summary"] = route.name.replace("_", " ").capitalize()
            operation["security"] = [{name: []} for name in security] if route.requires_token else []
            _add_problem_responses(operation, route, method)
            for parameter in operation.get("parameters", []):
                _add_descriptions(parameter, field_docs, (f"?{parameter['name']}",), schemas)
    fields = [(name, each) for name, schema in schemas.items() for each in schema.get("properties", {})]
    for name, each in fields:
        _add_descriptions(schemas[name]["properties"][each], field_docs, (f"{name}.{each}", each), schemas)


def _close(part: Any) -> None:
    """Adds constraints that pydantic enforces and FastAPI's schema lacks: a mapping whose keys must match a pattern or an
    enumeration has no other keys, and a decimal as a string must be a number."""
    children: list[Any] = []
    if isinstance(part, dict):
        schema = cast("dict[str, Any]", part)
        choices: list[dict[str, Any]] = schema.get("anyOf", [])
        if [each.get("type") for each in choices[:2]] == ["number", "string"] and len(choices[1]) == 1:
            choices[1]["pattern"] = _DECIMAL
        if "patternProperties" in schema or "propertyNames" in schema:
            schema.setdefault("additionalProperties", False)
        children = list(schema.values())
    elif isinstance(part, list):
        children = cast("list[Any]", part)
    for each in children:
        _close(each)


def _add_problem_responses(operation: dict[str, Any], route: TransactionalRoute, method: str) -> None:
    parameters = {(each["in"], each["name"]) for each in operation.get("parameters", [])}
    writes, has_body = method in WRITE_METHODS, "requestBody" in operation
    named = any(place == "path" or name in _NAMES for place, name in parameters)
    applies = {
        401: route.requires_token,
        403: route.requires_token,
        404: named or has_body,  # a body may refer to objects too
        408: has_body,
        409: writes and route.requires_token,
        412: route.read_route is not None,
        413: has_body or ("header", "Idempotency-Key") in parameters,
        422: True,
        429: True,  # the gateway limits every caller's rate; ingest and the event streams have limits of their own
        500: True,
        503: True,
    }
    responses = operation["responses"]
    responses.pop("422", None)
    if method == "GET" and route.has_etag:
        responses["304"] = {"description": "It is still as `If-None-Match` says."}
    for status, is_possible in applies.items():
        if is_possible:
            headers = {"headers": _RETRY_AFTER} if status in (429, 503) else {}
            response = {"description": _RESPONSE_DESCRIPTIONS[status], **headers, "content": _PROBLEM}
            responses.setdefault(str(status), response)
    for status, response in responses.items():
        if response.get("description") == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase


def _add_descriptions(
    described: dict[str, Any], field_docs: Mapping[str, FieldDoc], names: Sequence[str], schemas: Mapping[str, Any]
) -> None:
    doc = next((field_docs[name] for name in names if name in field_docs), None)
    schema = described.get("schema", described)
    if doc is not None:
        described.setdefault("description", doc.text)
    if "examples" not in schema and "example" not in schema:
        schema["examples"] = [make_example(schema, schemas) if doc is None or doc.example is ... else doc.example]


def make_example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """An example value that fits a schema. `schemas`: the document's schemas, for references."""
    by_type: dict[str, Any] = {"boolean": True, "null": None, "string": "text", "object": {}}
    for keyword in ("example", "const", "default"):
        if schema.get(keyword) is not None:
            return schema[keyword]
    if "examples" in schema or "enum" in schema:
        return (schema.get("examples") or schema["enum"])[0]
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
        fields: dict[str, Any] = schema.get("properties", {}) if depth < _MAX_EXAMPLE_DEPTH else {}
        required: Sequence[str] = schema.get("required", ())
        if schema.get("type") != "object":
            return make_example(schema, schemas, depth + 1)
        return {name: make_example(each, schemas, depth + 1) for name, each in fields.items() if name in required}
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return make_example(schema[choice][0], schemas, depth)
    kind = schema.get("type", "object")
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
    if kind == "array":
        return [make_example(schema["items"], schemas, depth)] if "items" in schema else []
    return _EXAMPLES.get(schema.get("format", ""), by_type[kind])
