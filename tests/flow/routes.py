"""Every route of every service, as its OpenAPI page lists them, and requests that fill in what they ask for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx
from contracts import ALL_SERVICES

from tests.flow.suite import PLAIN, Suite

UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
METHODS = ("get", "post", "put", "patch", "delete")
# Parameters that choose no other rows than the caller's question without them.
NEUTRAL = {
    "limit", "after", "unread", "replayed", "dry_run", "active", "role", "overdue", "around_me", "again", "on",
    "new_secret", "new_password", "thing", "service", "action", "request_id", "blueprint_version", "status", "grain", "reason", "verdict", "mode", "last_event_id",
}  # fmt: skip
# Given always, also where they may be left out: the calls of these tests are not of today.
ALWAYS = {"from", "to"}

Values = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Route:
    service: str
    method: str
    path: str
    in_path: tuple[str, ...]
    needed: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.method} {self.service}{self.path}"

    def build_url(self, filled: Mapping[str, str]) -> str:
        path = re.sub(r"{(\w+)}", lambda found: filled[found[1]], self.path)
        return f"/api/{self.service}/v1{path}"

    def values_of(self, parameter: str, values: Values) -> Sequence[str]:
        """By service, first part of the path and parameter, by service and parameter, or by the parameter alone.
        Raises KeyError for a parameter that nobody has thought of."""
        first = self.path.split("/")[1]
        for name in (f"{self.service}/{first}/{parameter}", f"{self.service}/{parameter}", parameter):
            if name in values:
                return values[name]
        raise KeyError(f"{self.name} has a parameter `{parameter}`: say in this test what it may be filled with.")

    def requests(self, values: Values) -> Iterator[tuple[str, dict[str, str]]]:
        """Address and query: with what must be given, in every combination; then with each of what may be given."""
        asked = [*self.in_path, *self.needed]
        for chosen in product(*(self.values_of(each, values) for each in asked)):
            filled = dict(zip(asked, chosen, strict=True))
            address, query = self.build_url(filled), {each: filled[each] for each in self.needed}
            yield address, query
            for each in self.optional:
                for value in () if each in NEUTRAL else self.values_of(each, values):
                    yield address, {**query, each: value}


@dataclass(frozen=True)
class Answer:
    route: Route
    asked: str
    status: int
    text: str

    def ids(self) -> set[str]:
        """The ids that the answer tells and the question did not name."""
        return set(UUIDS.findall(self.text)) - set(UUIDS.findall(self.asked))


def routes(suite: Suite) -> list[Route]:
    found = []
    for service in ALL_SERVICES:
        paths = (
            httpx.get(f"{suite.url}/api/{service}/v1/openapi.json", timeout=30, verify=PLAIN)
            .raise_for_status()
            .json()["paths"]
        )
        for path, operations in paths.items():
            for method in METHODS:
                if method in operations:
                    found.append(_route(service, method.upper(), path, operations[method]))
    return found


def _route(service: str, method: str, path: str, operation: Mapping[str, Any]) -> Route:
    named = [each for each in operation.get("parameters", []) if each["in"] in ("path", "query")]
    return Route(
        service,
        method,
        path,
        tuple(each["name"] for each in named if each["in"] == "path"),
        tuple(each["name"] for each in named if each["in"] == "query" and _always(each)),
        tuple(each["name"] for each in named if each["in"] == "query" and not _always(each)),
    )


def _always(parameter: Mapping[str, Any]) -> bool:
    return bool(parameter.get("required")) or parameter["name"] in ALWAYS


def request_all_routes(
    suite: Suite, who: str, values: Values, headers: Mapping[str, str] | None = None
) -> list[Answer]:
    """What this user is answered on every GET route. Of a stream, what comes at once."""
    found = []
    whole = {"authorization": f"Bearer {suite.token(who)}", **(headers or {})}
    with httpx.Client(base_url=suite.url, headers=whole, timeout=60, verify=PLAIN) as client:
        for route in routes(suite):
            if route.method != "GET":
                continue
            for address, query in route.requests(values):
                asked = str(httpx.URL(address, params=query))
                if route.path == "/stream":
                    status, text = _beginning(client, f"{address}?last_event_id=0")
                else:
                    answer = client.get(address, params=query)
                    status, text = answer.status_code, answer.text
                assert status < 500, f"{who} GET {asked}: {status} {text[:500]}"
                found.append(Answer(route, asked, status, text))
    return found


def _beginning(client: httpx.Client, address: str) -> tuple[int, str]:
    heard = ""
    with client.stream("GET", address, timeout=httpx.Timeout(10, read=0.5)) as answer:
        try:
            for text in answer.iter_text():
                heard += text
        except httpx.ReadTimeout:
            pass
        return answer.status_code, heard
