"""What a tenant configures costs little, however much of it is sent: every list and every mapping of a valid body, made as
long as a body may be, with entries that are all alike and all different."""

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servicekit.door.body import MAX_VALUES
from servicekit.door.policy import DEFINITION_BYTES

from tests.hostile.bodies import WRITES, Write
from tests.hostile.conftest import HostileSuite
from tests.hostile.loop_watch import collected_as_in_a_server, record_loop_blockers
from tests.hostile.routes import routes

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]
MAX_SECONDS = 10
"""Of one request; what takes longer has a deadline of its own that did not end it."""


def count_values(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + count_values(each) for each in value.values())
    if isinstance(value, list):
        return 1 + sum(map(count_values, value))
    return 1


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all lists and mappings that have an entry."""
    if isinstance(value, dict | list) and value:
        yield path
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, key))


def renamed(value: Any, number: int) -> Any:
    """A copy of which each text that may be a name is another."""
    if isinstance(value, dict):
        first = next((key for key, each in value.items() if isinstance(each, str)), None)
        return {**value, first: f"{value[first]}-{number}"} if first else value
    return f"{value}-{number}" if isinstance(value, str) else value


def multiplied(body: Any, path: tuple[Any, ...], *, alike: bool) -> bytes | None:
    """The body with the entries of one list or mapping repeated until no more values or bytes are taken."""
    body = copy.deepcopy(body)
    outer, here = None, body
    for key in path:
        outer, here = here, here[key]
    entry = here[-1] if isinstance(here, list) else [*here.values()][-1]
    room = MAX_VALUES - 100 - count_values(body)
    size = min(room // (count_values(entry) + 1), (DEFINITION_BYTES - 2_000) // (len(json.dumps(entry)) + 12))
    if isinstance(here, list):
        grown: Any = [*here, *(entry if alike else renamed(entry, number) for number in range(size))]
    elif alike:
        return None
    else:
        grown = {**here, **{f"k{number}": entry for number in range(size)}}
    if outer is None:
        return json.dumps(grown).encode()
    outer[path[-1]] = grown
    return json.dumps(body).encode()


def bodies(write: Write) -> Iterator[tuple[str, bytes]]:
    for path in places(write.body):
        for alike in (True, False):
            body = multiplied(write.body, path, alike=alike)
            if body is not None:
                yield f"/{'/'.join(map(str, path))} {'alike' if alike else 'different'}", body


@pytest.fixture
def steady_memory() -> Iterator[None]:
    with collected_as_in_a_server():
        yield


@pytest.mark.usefixtures("steady_memory")
async def test_no_large_definition_costs_much(own_suite: HostileSuite) -> None:
    known = {route.name: route for route in routes(own_suite)}
    found: list[str] = []
    for write in WRITES:
        if write.body is None:
            continue
        route = known[write.name]
        client, address = own_suite.client(route.service, write.who), route.address(own_suite.ids)
        headers = {"content-type": "application/json", **write.headers}
        # As taken, which also makes what is done once in a process done.
        await client.request(route.method, address, json=write.body, headers=write.headers)
        for told, body in bodies(write):
            began = time.process_time()
            status, problem = 500, ""
            with record_loop_blockers() as held:
                try:
                    status = (await client.request(route.method, address, content=body, headers=headers)).status_code
                except Exception as error:
                    problem = repr(error)[:300]
            took = time.process_time() - began
            told = f"{write.name} {told} {len(body):,} bytes: {status} in {took:.1f} s"
            if status >= 500:
                found.append(f"{told} {problem}")
            found += [f"{told}: {block * 1000:.0f} ms in {where}" for block, where in held]
            if took > MAX_SECONDS:
                found.append(told)
    assert found == [], "\n".join(found)
