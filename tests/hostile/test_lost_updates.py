"""ETags: on everything that is edited, tried on every write of every service that changes one."""

import asyncio
from typing import Any

import httpx
import pytest
from servicekit.door import iter_transactional_routes
from testkit import Cluster

from tests.examples import EXAMPLES, qualify
from tests.hostile.bodies import WRITES, Write
from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import Route, routes
from tests.hostile.test_keys import state

CHANGES = ("PUT", "PATCH", "DELETE")


def changing(suite: HostileSuite) -> dict[str, tuple[Route, str]]:
    """By name, the routes that change a thing with an ETag, and the path of that thing."""
    found = {}
    for route in routes(suite):
        (door,) = [
            each
            for each in iter_transactional_routes(suite.app(route.service).routes)
            if each.path_format == route.path and route.method in (each.methods or ())
        ]
        if door.read_route is not None:
            found[route.name] = route, door.read_route.path_format
    return found


class Change:
    """One write of `WRITES`, and the thing that it changes."""

    def __init__(self, suite: HostileSuite, write: Write, route: Route, thing: str) -> None:
        self.client = suite.client(route.service, write.who)
        self.address = route.address({**suite.ids, **write.ids})
        self.thing = Route(route.service, "GET", thing, {}).address({**suite.ids, **write.ids})
        self.write, self.route = write, route

    async def ask(self, **headers: str) -> httpx.Response:
        sent: Any = {
            "json": self.write.body,
            "content": self.write.content,
            "headers": {**self.write.headers, **headers},
        }
        return await self.client.request(self.route.method, self.address, **sent)

    async def read(self, **headers: str) -> httpx.Response:
        return await self.client.get(self.thing, headers=headers)


def changes(suite: HostileSuite) -> list[Change]:
    known = changing(suite)
    return [Change(suite, each, *known[each.name]) for each in WRITES if each.name in known]


async def test_whatever_is_changed_can_be_read_and_says_so(suite: HostileSuite) -> None:
    """A route that changes something has its thing: a GET of the same address, or the one it names."""
    known = changing(suite)
    assert {route.name for route in routes(suite, *CHANGES)} - set(known) == set()
    for route, _ in known.values():
        assert "If-Match" in route.parameters("header"), route.name


async def test_what_has_been_changed_since_is_not_changed(own_suite: HostileSuite, cluster: Cluster) -> None:
    for change in changes(own_suite):
        name = change.route.name
        before = await change.read()
        assert before.is_success, (name, before.text)
        tag = before.headers["etag"]
        assert tag.startswith('"'), (name, tag)
        same = await change.read(**{"if-none-match": tag})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), name

        held = state(cluster, own_suite)
        refused = await change.ask(**{"if-match": '"older.still"'})
        assert refused.status_code == 412, (name, refused.text)
        assert refused.json()["type"] == "urn:uplift:problem:changed-since"
        if change.route.method == "PUT":
            refused = await change.ask(**{"if-none-match": "*"})
            assert (refused.status_code, refused.json()["type"]) == (412, "urn:uplift:problem:there-already"), name
        assert state(cluster, own_suite) == held, name

        taken = await change.ask(**{"if-match": tag})
        assert taken.is_success, (name, taken.text)
        after = await change.read()
        if "etag" in taken.headers:
            assert taken.headers["etag"].split(".")[0] == after.headers["etag"].split(".")[0], name
        if after.is_success and after.content != before.content:
            stale = await change.ask(**{"if-match": tag})
            assert stale.status_code == 412, (name, stale.text)
        await own_suite.deliver_directory_events()


TWICE: dict[str, list[Any]] = {
    "PUT training/rules/{rule}": [{"due_days": 1}, {"due_days": 2}],
    "PUT training/templates/{template}": [{"minutes": 1}, {"minutes": 2}],
    "PUT gamification/rules/{rule}": [{"points": 1}, {"points": 2}],
    "PUT gamification/leaderboards/{leaderboard}": [{"top": 1}, {"top": 2}],
    "PUT ingest/sources/{source}": [{"title": "1"}, {"title": "2"}],
    "PUT notification/webhooks/{webhook}": [{"enabled": False}, {"url": "https://example.org/2"}],
    "PUT forms/forms/{form}": [{"title": {"en": "1"}}, {"title": {"en": "2"}}],
    "PUT forms/forms/{form}/submissions/{submission}": [{"answers": {"comment": "1"}}, {"answers": {"comment": "2"}}],
    "PATCH identity/people/{person}": [{"display_name": "1"}, {"display_name": "2"}],
    "PATCH identity/org-units/{org_unit}": [{"name": "1"}, {"name": "2"}],
    **{qualify(service, route): bodies for service, each in EXAMPLES.items() for route, bodies in each.twice.items()},
}


async def test_of_two_at_once_one_is_told(own_suite: HostileSuite) -> None:
    """Both have read the same. Whoever comes second is refused, whichever comes first."""
    for change in changes(own_suite):
        if change.route.name in TWICE:
            tag = (await change.read()).headers["etag"]
            bodies = [{**change.write.body, **each} for each in TWICE[change.route.name]]
            method, headers = change.route.method, {"if-match": tag}
            asked = [change.client.request(method, change.address, json=body, headers=headers) for body in bodies]
            answers = await asyncio.gather(*asked)
            assert sorted(each.status_code for each in answers) == [200, 412], (change.route.name, answers)


async def test_a_list_put_as_a_whole_and_one_of_it_do_not_pass_each_other(own_suite: HostileSuite) -> None:
    client = own_suite.client("training")
    body = next(each.body for each in WRITES if each.name == "PUT training/rules/{rule}")
    whole, one = (await client.get("/rules")).headers["etag"], (await client.get("/rules/r1")).headers["etag"]
    answers = await asyncio.gather(
        client.put("/rules", json={"rules": []}, headers={"if-match": whole}),
        client.put("/rules/r1", json=body, headers={"if-match": one}),
    )
    assert sorted(each.status_code for each in answers) == [200, 412]


async def test_a_new_thing_is_made_by_one_only(own_suite: HostileSuite) -> None:
    client = own_suite.client("ingest")
    body = next(each.body for each in WRITES if each.name.startswith("PUT ingest/sources"))
    asked = [client.put("/sources/new", json=body, headers={"if-none-match": "*"}) for _ in range(3)]
    assert sorted(each.status_code for each in await asyncio.gather(*asked)) == [200, 412, 412]
    gone = await client.put("/sources/never", json=body, headers={"if-match": '"a.b"'})
    assert (gone.status_code, gone.json()["type"]) == (412, "urn:uplift:problem:gone")
    assert (await client.get("/sources/never")).status_code == 404


@pytest.mark.parametrize("header", ["if-match", "if-none-match"])
async def test_where_nothing_is_compared_the_header_is_refused(suite: HostileSuite, header: str) -> None:
    """Whoever sends it believes to be protected."""
    answer = await suite.client("identity").post(
        "/people", json={"slug": "x", "display_name": "X"}, headers={header: "*"}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:no-if-match")


async def test_what_changes_by_itself_is_no_edit(own_suite: HostileSuite) -> None:
    """A source's health is part of its page, and not of what is compared when it is changed."""
    client = own_suite.client("ingest")
    before = (await client.get("/sources/calls")).headers["etag"]
    sent = next(each.content for each in WRITES if each.name == "POST ingest/sources/{source}/records")
    assert (await client.post("/sources/calls/records", content=sent)).is_success
    fresh = await client.get("/sources/calls", headers={"if-none-match": before})
    assert fresh.status_code == 200
    body = next(each.body for each in WRITES if each.name.startswith("PUT ingest/sources"))
    assert (await client.put("/sources/calls", json=body, headers={"if-match": before})).status_code == 200


async def test_a_tag_is_taken_as_proxies_and_shells_leave_it(own_suite: HostileSuite) -> None:
    """Weak behind a proxy that compresses, without quotes out of a shell, of the YAML as of the JSON."""
    client = own_suite.client("kpi-engine")
    write = next(each for each in WRITES if each.name == "PUT kpi-engine/kpis/{kpi}")
    (await client.put("/kpis/aht", content=write.content, headers=write.headers)).raise_for_status()
    for accept in ("application/yaml", "application/json"):
        tag = (await client.get("/kpis/aht", headers={"accept": accept})).headers["etag"]
        for sent in (tag, f"W/{tag}", tag.strip('"'), f'"other", {tag}', "*"):
            answer = await client.put("/kpis/aht", content=write.content, headers={**write.headers, "if-match": sent})
            assert answer.status_code == 200, (accept, sent, answer.text)


async def test_a_list_is_compared_as_a_whole(own_suite: HostileSuite) -> None:
    """Whichever page of it was read."""
    client = own_suite.client("training")
    body = next(each.body for each in WRITES if each.name == "PUT training/rules/{rule}")
    rules = [{**body, "rule": f"r{number}"} for number in range(3)]
    await client.put("/rules", json={"rules": rules})
    tag = (await client.get("/rules", params={"limit": 1})).headers["etag"]
    assert (await client.put("/rules", json={"rules": rules}, headers={"if-match": tag})).status_code == 200
    await client.delete("/rules/r2")
    assert (await client.put("/rules", json={"rules": rules}, headers={"if-match": tag})).status_code == 412
