"""Every route of every service, and what fills its address."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from contracts import ALL_SERVICES

from tests.examples import NAMES
from tests.hostile.conftest import HostileSuite

PROBLEM = "application/problem+json"
NOBODY = "0198c3a2-7f00-7000-8000-000000000000"
FILLED = {
    "tenant": "acme", "person": "ada", "org_unit": "team-a", "application": "crm", "dead_letter": NOBODY, "source": "calls",
    "kpi": "aht", "template": "intro", "version": "1", "leaderboard": "all", "form": "review", "delivery": NOBODY,
    "training/rule": "r1", "gamification/rule": "g1", "notification/rule": "n1", "text": "own", "notice": NOBODY, "webhook": "crm",
    **NAMES,
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    service: str
    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.service}{self.path}"

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.described.get("parameters", []) if each["in"] == place}

    @property
    def needed(self) -> dict[str, str]:
        """What must be in the query, filled in."""
        known = {"external_id": "c1", "agent": "ada"}
        return {name: known[name] for name, each in self.parameters("query").items() if each.get("required")}

    def address(self, ids: Mapping[str, str]) -> str:
        values, first = {**FILLED, **ids}, self.path.split("/")[1]

        def value(found: re.Match[str]) -> str:
            names = (f"{self.service}/{first}/{found[1]}", f"{self.service}/{found[1]}", found[1])
            return next(values[each] for each in names if each in values)

        return re.sub(r"{(\w+)}", value, self.path)

    @property
    def streams(self) -> bool:
        return self.path == "/stream"


def routes(suite: HostileSuite, *methods: str) -> Iterator[Route]:
    for service in ALL_SERVICES:
        for method, path, described in suite.operations(service):
            if not methods or method in methods:
                yield Route(service, method, path, described)


async def answered(client: httpx.AsyncClient, route: Route, address: str) -> httpx.Response:
    """The answer: never a mistake of the service's, and a problem document where it refuses."""
    answer = await client.request(route.method, address)
    assert answer.status_code < 500, f"{route.name} {address[:200]}: {answer.status_code} {answer.text[:500]}"
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM, f"{route.name} {address[:200]}"
    return answer
