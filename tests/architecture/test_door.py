"""What every route of every service keeps: strict bodies, bounded days, and the key that it documents."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, get_args, get_origin

from annotated_types import Ge, Le
from fastapi import FastAPI, params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from servicekit import CallerDep, route_policy, router
from servicekit.door import TransactionalRoute, iter_transactional_routes
from servicekit.door.days import DayRange
from servicekit.door.policy import walk_dependants


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel)


def models(annotation: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All models that a value of this type may hold."""
    if is_model(annotation) and annotation not in seen:
        seen.add(annotation)
        for field in annotation.model_fields.values():
            models(field.annotation, seen)
    for each in get_args(annotation):
        models(each, seen)
    return seen


def _is_form(route: TransactionalRoute) -> bool:
    return route.body_field is not None and isinstance(route.body_field.field_info, params.Form)


def request_models(app: FastAPI) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    for route in iter_transactional_routes(app.routes):
        # The fields of a form are the framework's own model; OpenID Connect wants unknown ones to be ignored.
        if route.body_field is not None and not _is_form(route):
            models(route.body_field.field_info.annotation, found)
    return found


def test_every_service_has_routes(apps: dict[str, FastAPI]) -> None:
    assert all(len(list(iter_transactional_routes(app.routes))) > 5 for app in apps.values())


def find_loose_models(apps: Mapping[str, FastAPI]) -> set[str]:
    """Models of request bodies that pass over unknown fields."""
    return {
        f"{name}: {model.__module__}.{model.__name__}"
        for name, app in apps.items()
        for model in request_models(app)
        if model.model_config.get("extra") != "forbid"
    }


def test_a_field_that_no_body_has_is_refused(apps: dict[str, FastAPI]) -> None:
    """What is passed over in silence does something else than was asked for."""
    assert find_loose_models(apps) == set()


def bounded(field: FieldInfo) -> bool:
    """Both ends, or a check of one's own."""
    limits = [type(each) for each in field.metadata]
    for each in get_args(field.annotation):
        limits += [type(one) for one in getattr(each, "__metadata__", ())]
    flat = str(field.metadata) + str(field.annotation)
    return (Ge in limits and Le in limits) or ("Ge(" in flat and "Le(" in flat) or "Validator" in flat


def is_time(annotation: Any) -> bool:
    return annotation in (date, datetime) or any(is_time(each) for each in get_args(annotation))


def find_endless_times(apps: Mapping[str, FastAPI]) -> set[str]:
    """Days and instants, in bodies and queries, without bounds."""
    in_bodies = {
        f"{name}: {model.__name__}.{field}"
        for name, app in apps.items()
        for model in request_models(app)
        for field, info in model.model_fields.items()
        if is_time(info.annotation) and not bounded(info)
    }
    return in_bodies | {
        f"{name}: {route.path}?{param.alias}"
        for name, route, _, param in iter_query_params(apps)
        if is_time(param.field_info.annotation) and not bounded(param.field_info)
    }


def iter_query_params(apps: Mapping[str, FastAPI]) -> Iterator[tuple[str, TransactionalRoute, Dependant, ModelField]]:
    for name, app in apps.items():
        for route in iter_transactional_routes(app.routes):
            for each in walk_dependants(route.dependant):
                for param in each.query_params:
                    yield name, route, each, param


def test_days_and_instants_of_callers_have_bounds(apps: dict[str, FastAPI]) -> None:
    """`servicekit.times`: what is stored in the year 10000 cannot be read again."""
    assert find_endless_times(apps) == set()


def find_own_ranges(apps: Mapping[str, FastAPI]) -> set[str]:
    """Parameters of a range of days that are not those of `DaysDep`."""
    return {
        f"{name}: {route.path}?{param.alias}"
        for name, route, each, param in iter_query_params(apps)
        if param.alias in ("from", "to", "since", "until", "first", "last", "days")
        and getattr(each.call, "__annotations__", {}).get("return") not in (DayRange, "DayRange")
    }


def test_ranges_of_days_are_the_doors(apps: dict[str, FastAPI]) -> None:
    """`DaysDep`, which says how long a range may be."""
    assert find_own_ranges(apps) == set()


def find_wrong_key_docs(apps: Mapping[str, FastAPI]) -> list[str]:
    """Operations that document an idempotency key and take none, or the other way round."""
    found: list[str] = []
    for name, app in apps.items():
        paths = app.openapi()["paths"]
        for route in iter_transactional_routes(app.routes):
            for method in route.methods or ():
                headers = [
                    each["name"].lower()
                    for each in paths[route.path_format][method.lower()].get("parameters", [])
                    if each["in"] == "header"
                ]
                if headers.count("idempotency-key") != int(route.accepts_idempotency_key):
                    found.append(f"{method} {name}{route.path_format}")
    return found


def test_the_key_that_is_documented_is_taken_and_no_other(apps: dict[str, FastAPI]) -> None:
    """That a key is honoured is tried on every write in tests/hostile/test_keys.py."""
    assert find_wrong_key_docs(apps) == []


def find_tenant_writes_of_unit_roles(apps: Mapping[str, FastAPI]) -> set[str]:
    """Writes on the tenant as a whole that a role over an org unit allows."""
    return {
        f"{method} {name}{route.path_format}"
        for name, app in apps.items()
        for route in iter_transactional_routes(app.routes)
        for method in (route.methods or set()) - {"GET"}
        if route.requires_token and route.policy.reach == "tenant" and not route.policy.whole_tenant
    }


def test_what_a_tenant_has_as_a_whole_takes_the_role_on_the_whole(apps: dict[str, FastAPI]) -> None:
    """Whoever has a role over an org unit works with its people, and configures nothing."""
    assert find_tenant_writes_of_unit_roles(apps) == set()


class Part(BaseModel):
    """Takes any field, and any day."""

    day: date


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: list[Part] | None = None


def test_a_wrong_route_is_found() -> None:
    routes = router()

    @routes.put("/things")
    @route_policy(reach="tenant", whole_tenant=False)
    async def put_thing(caller: CallerDep, thing: Whole) -> None: ...  # pyright: ignore[reportUnusedFunction]

    @routes.get("/things")
    @route_policy(reach="tenant")
    async def list_things(caller: CallerDep, since: date) -> None: ...  # pyright: ignore[reportUnusedFunction]

    app = FastAPI()
    app.include_router(routes)
    apps = {"x": app}
    assert find_loose_models(apps) == {f"x: {Part.__module__}.Part"}
    assert find_endless_times(apps) == {"x: Part.day", "x: /things?since"}
    assert find_own_ranges(apps) == {"x: /things?since"}
    assert find_tenant_writes_of_unit_roles(apps) == {"PUT x/things"}
    right = find_wrong_key_docs(apps)
    for operation in app.openapi()["paths"]["/things"].values():
        operation["parameters"] = [
            *(each for each in operation.get("parameters", []) if each["in"] != "header"),
            {"in": "header", "name": "Idempotency-Key"},
        ]
    assert (right, find_wrong_key_docs(apps)) == ([], ["GET x/things"])
