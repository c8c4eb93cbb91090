"""What the OpenAPI documents allow, and what they do not, sent to every route by schemathesis: no answer is a mistake of the
service's, each is as its document says, and what the document refuses is refused. `make fuzz` sends many times as much."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest
from contracts import ALL_SERVICES
from hypothesis import settings
from servicekit import Service
from testkit import Cluster, TestIssuer

from tests.hostile.conftest import HostileSuite, thorough
from tests.hostile.fuzzing import Fuzzer, chained, covering, generated, operations, schema_of

MADE, COVERING, GENERATED = 400, 40, 4
"""Of each operation, where not everything is tried: of the first that cover it, so many, evenly; and made up as a whole."""
CHAINED, STEPS = 1500, 12
"""Requests to each service that follow from each other, and how many of them at most."""
AT_LEAST = 300
"""Requests to each service."""


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """For tests that are not coroutines: hypothesis calls them."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def door(
    runner: asyncio.Runner,
    services: Sequence[Service],
    cluster: Cluster,
    issuer: TestIssuer,
    furnished: tuple[str, dict[str, str]],
) -> Iterator[HostileSuite]:
    """On a database of its own."""
    name = cluster.create(template=furnished[0])

    async def made() -> HostileSuite:
        return HostileSuite(services, cluster, issuer, name, furnished[1])

    suite = runner.run(made())
    yield suite
    runner.run(suite.close())
    cluster.drop(name)


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_answers_are_as_their_document_says(runner: asyncio.Runner, door: HostileSuite, service: str) -> None:
    fuzzer = Fuzzer(runner, door, service)
    schema = schema_of(door.app(service))
    for operation in operations(schema):
        cases = list(islice(covering(schema, operation), None if thorough() else MADE))
        for number, case in enumerate(cases if thorough() else cases[:: len(cases) // COVERING + 1]):
            fuzzer.send(case, known=number % 4 != 0)
        examples = settings().max_examples if thorough() else GENERATED
        generated(fuzzer, operation, examples, derandomize=not thorough())
    fuzzer.assert_nothing_wrong()
    print(f"{fuzzer.requests} requests")
    assert fuzzer.requests >= AT_LEAST
    for label, answers in fuzzer.answers.items():
        assert any(not each.startswith(("404", "405")) for each in answers), f"{label}: {answers}"


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_chains_of_requests_are_answered_as_their_document_says(
    runner: asyncio.Runner, door: HostileSuite, service: str
) -> None:
    """What an answer names is asked for, changed, deleted and asked for again."""
    if not thorough():
        pytest.skip("Chains of requests are sent by `make fuzz`.")
    fuzzer = Fuzzer(runner, door, service)
    answers = chained(fuzzer, schema_of(door.app(service)), CHAINED, STEPS)
    fuzzer.assert_nothing_wrong()
    assert any(each.rpartition(" ")[2].startswith("2") for each in answers), answers
