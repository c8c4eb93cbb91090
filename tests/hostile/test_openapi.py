"""What the OpenAPI documents allow, and what they do not, sent to every route by schemathesis: no answer is a mistake of the
service's, and each is as its document says. `make fuzz` sends many times as much."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests  # noqa: TID251 (what schemathesis makes its requests for)
import schemathesis
from contracts import ALL_SERVICES
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servicekit import Service
from testkit import Cluster, TestIssuer

from tests.hostile.conftest import Suite, thorough
from tests.hostile.routes import Route

CHECKS: list[Any] = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Door:
    """A suite on a database of its own, for tests that are not coroutines: hypothesis calls them."""

    def __init__(self, runner: asyncio.Runner, suite: Suite) -> None:
        self.run, self.suite = runner.run, suite

    def send(self, service: str, case: Case, *, known: bool) -> None:
        """With `known`, what is in the address is there."""
        if known:
            described = {"parameters": []}
            address = Route(service, case.method.upper(), case.path, described).address(self.suite.ids)
        else:
            address = None
        client = self.suite.client(service)
        base = str(client.base_url).rstrip("/")
        sent = requests.Request(**case.as_transport_kwargs(base_url=base)).prepare()
        url = str(sent.url) if address is None else f"{base}{address}" + _query(str(sent.url))
        headers = {name: value for name, value in sent.headers.items() if name.lower() != "content-length"}
        answer = self.run(client.request(str(sent.method), url, headers=headers, content=sent.body))  # pyright: ignore[reportArgumentType]
        case.validate_response(answer, checks=CHECKS)


def _query(url: str) -> str:
    _, mark, query = url.partition("?")
    return mark + query


@pytest.fixture(scope="module")
def door(
    services: Sequence[Service], cluster: Cluster, issuer: TestIssuer, furnished: tuple[str, dict[str, str]]
) -> Iterator[Door]:
    name = cluster.create(template=furnished[0])
    with asyncio.Runner() as runner:

        async def made() -> Suite:
            return Suite(services, cluster, issuer, name, furnished[1])

        suite = runner.run(made())
        yield Door(runner, suite)
        runner.run(suite.close())
    cluster.drop(name)


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_answers_are_as_their_document_says(door: Door, service: str) -> None:
    schema = schemathesis.openapi.from_dict(door.suite.app(service).openapi())
    examples = settings().max_examples if thorough() else 6
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/stream":
            continue  # which has no end

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), known=booleans())
        def send(case: Case, known: bool) -> None:
            door.send(service, case, known=known)

        try:
            send()
        except (Exception, BaseExceptionGroup) as error:
            wrong.append(f"{operation.label}: {type(error).__name__} {error!r:.1500}")
    assert wrong == []
