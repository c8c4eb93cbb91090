"""Idempotency-Key: on every write of every service it is documented and honoured, or neither."""

import hashlib

import psycopg
from testkit import Cluster

from tests.hostile.bodies import NEEDS_MORE, WRITES
from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import Route, routes


def state(cluster: Cluster, suite: HostileSuite) -> dict[str, str]:
    """By table, what all services hold; without the answers that are kept."""
    with psycopg.connect(cluster.server.url(database=suite.database).replace("+psycopg", "")) as admin:
        tables = admin.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT LIKE 'pg%' "
            "AND schemaname <> 'information_schema' AND tablename <> 'idempotent_response'"
        ).fetchall()
        found = {}
        for (table,) in tables:
            rows = admin.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()  # pyright: ignore[reportArgumentType, reportCallIssue]
            found[str(table)] = hashlib.sha256(repr(rows).encode()).hexdigest()
        return found


async def test_every_write_is_tried(suite: HostileSuite) -> None:
    """A route that is new gets a request in bodies.py."""
    names = {route.name for route in routes(suite, "POST", "PUT", "PATCH", "DELETE")}
    assert names == {each.name for each in WRITES} | NEEDS_MORE.keys()


async def test_a_key_is_documented_and_honoured_or_neither(own_suite: HostileSuite, cluster: Cluster) -> None:
    known = {route.name: route for route in routes(own_suite)}
    for number, write in enumerate(WRITES):
        route: Route = known[write.name]
        address = route.address({**own_suite.ids, **write.ids})
        client = own_suite.client(route.service, write.who)
        headers = {**write.headers, "idempotency-key": f"key-{number}"}

        async def ask(headers: dict[str, str], client=client, route=route, address=address, write=write):
            return await client.request(route.method, address, json=write.body, content=write.content, headers=headers)

        documented = any(name.lower() == "idempotency-key" for name in route.parameters("header"))
        first = await ask(headers)
        if not documented:
            assert first.status_code == 422, f"{route.name} takes no key: {first.text}"
            assert first.json()["type"].endswith(":no-idempotency-key")
            assert (await ask(write.headers)).is_success, route.name
            continue
        assert first.is_success, f"{route.name}: {first.status_code} {first.text}"
        before = state(cluster, own_suite)
        again = await ask(headers)
        assert (again.status_code, again.content) == (first.status_code, first.content), route.name
        assert again.headers.get("location") == first.headers.get("location")
        assert state(cluster, own_suite) == before, f"{route.name} has a second effect"
        other = await client.request(route.method, address, json={"else": 1}, headers=headers)
        assert other.status_code == 422, f"{route.name}: {other.text}"
        await own_suite.deliver_directory_events()
