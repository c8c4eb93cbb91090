"""Whatever can be made through the API can be taken away again, or it is said why not."""

import re
from collections.abc import Mapping

import pytest
from fastapi import FastAPI
from servicekit import route_policy, router
from servicekit.door import iter_transactional_routes

MAKES_NOTHING = {
    "PUT training/rules": "the list of what can be deleted one by one",
    "PUT gamification/rules": "the list of what can be deleted one by one",
    "PUT notification/rules": "the list of what can be deleted one by one",
    "PUT notification/texts": "the list of what can be deleted one by one",
    "POST identity/tenants/{}/clock": "moves the clock of a simulated tenant, which never goes back",
    "POST identity/back-channel-logout": "ends sessions",
    "POST ingest/receipts/{}/replay": "reads again what is there",
    "POST ingest/receipts/{}/cancel": "ends what goes on",
    "POST training/assignments/{}/start": "a step of the learner's",
    "POST training/assignments/{}/complete": "a step of the learner's",
    "POST notification/inbox/read-all": "marks what is there",
    "POST notification/inbox/{}/read": "marks what is there",
    "POST notification/webhooks/{}/test": "sends one event",
    "POST notification/webhooks/{}/deliveries/{}/retry": "sends once more",
    "POST */dead-letters/{}/replay": "handles what is there",
    "POST */blueprint-section/check": "only says what is wrong",
}
STAYS = {
    "PUT identity/tenants/{}/blueprint": "versions of blueprints are the record; what they set up is taken away where it is",
    "POST forms/forms/{}/publish": "a version is what its submissions were judged by; the form can be retired",
}
"""Made, and not taken away by itself."""
ELSEWHERE = {
    "POST identity/people/import": "PATCH identity/people/{}",
    "POST ingest/sources/{}/records": "DELETE ingest/receipts/{}",
}
"""What takes away what these make."""


def written(apps: Mapping[str, FastAPI]) -> dict[str, bool]:
    """By name, without the names of parameters, every write; and whether its body has `active`, which retires."""
    found = {}
    for service, app in apps.items():
        for door in iter_transactional_routes(app.routes):
            path = re.sub(r"{\w+}", "{}", door.path_format)
            fields = getattr(door.body_field and door.body_field.field_info.annotation, "model_fields", {})
            for method in door.methods or ():
                if method != "GET":
                    found[f"{method} {service}{path}"] = "active" in fields
    return found


def find_undeletable(every: Mapping[str, bool]) -> list[str]:
    """The writes, of those that `written` returns, that make what nothing takes away again."""
    left: list[str] = []
    for name in every:
        method, _, path = name.partition(" ")
        anywhere = f"{method} */{path.partition('/')[2]}"
        if method not in ("POST", "PUT") or {name, anywhere} & (MAKES_NOTHING.keys() | STAYS.keys()):
            continue
        ways = {f"DELETE {path}", f"DELETE {path}/{{}}"} & every.keys()
        retired = [each for each in (f"PATCH {path}", f"PATCH {path}/{{}}") if every.get(each)]
        if not ways and not retired and ELSEWHERE.get(name) not in every:
            left.append(name)
    return left


def find_unknown(known: Mapping[str, str], every: Mapping[str, bool]) -> list[str]:
    """The exceptions that name no write."""
    return [name for name in known if "*" not in name and name not in every]


def test_whatever_is_made_can_be_taken_away(apps: dict[str, FastAPI]) -> None:
    assert find_undeletable(written(apps)) == []


@pytest.mark.parametrize("known", [MAKES_NOTHING, STAYS, ELSEWHERE])
def test_no_reason_is_out_of_date(apps: dict[str, FastAPI], known: dict[str, str]) -> None:
    assert find_unknown(known, written(apps)) == []


def test_what_nothing_takes_away_is_found() -> None:
    routes = router()

    async def handle() -> None: ...

    for method, path in [
        ("PUT", "/kept/{name}"),
        ("PUT", "/deleted/{name}"),
        ("DELETE", "/deleted/{name}"),
        ("POST", "/listed"),
        ("DELETE", "/listed/{name}"),
        ("PATCH", "/kept/{name}"),  # its body has no `active`
        ("POST", "/dead-letters/{id}/replay"),
    ]:
        routes.add_api_route(path, route_policy(reach="tenant")(handle), methods=[method])
    app = FastAPI()
    app.include_router(routes)
    every = written({"x": app})
    assert find_undeletable(every) == ["PUT x/kept/{}"]
    assert find_unknown({"PUT x/kept/{}": "", "PUT x/gone/{}": "", "PUT */any": ""}, every) == ["PUT x/gone/{}"]
