"""What a request may hold, and that what is refused has cost nothing: its body is not read."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servicekit import CallerDep, route_policy, router
from servicekit.door.policy import Reach
from testkit import Harness

PROBLEM = "application/problem+json"
JSON = {"content-type": "application/json"}


class Endless:
    """A body that goes on for as long as it is read."""

    def __init__(self, most: int = 50_000_000) -> None:
        self.sent = 0
        self.most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < self.most:
            self.sent += 10_000
            yield b" " * 10_000


@pytest.mark.parametrize(
    ("who", "tenant", "path", "status"),
    [
        (None, "acme", "/notes", 401),
        (None, "acme", "/large", 401),
        ("nobody", "acme", "/notes", 403),
        ("ada", "zeta", "/notes", 403),
        ("ada", "acme", "/large", 403),
    ],
    ids=["no token", "no token, large", "nobody", "another tenant", "without the role"],
)
@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k"}])
async def test_a_body_is_not_read_before_it_is_known_who_sends_it(
    notes: Harness, who: str | None, tenant: str, path: str, status: int, key: dict[str, str]
) -> None:
    client, body = notes.client_as(who, tenant) if who else notes.client(None), Endless()
    answer = await client.post(path, content=body, headers={**JSON, **key})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert body.sent <= 10_000, "what the transport had at hand"


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k"}])
@pytest.mark.parametrize(
    ("who", "path", "most"), [("ada", "/notes", 256_000), ("root", "/large", 1_000_000), ("ada", "/streams", 256_000)]
)
async def test_a_body_is_counted_while_it_comes(
    notes: Harness, who: str, path: str, most: int, key: dict[str, str]
) -> None:
    body = Endless()
    answer = await notes.client_as(who, "acme").post(path, content=body, headers={**JSON, **key})
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert f"{most:,}" in answer.json()["detail"]
    assert body.sent <= most + 20_000


@pytest.mark.parametrize("length", ["256001", "9" * 40])
async def test_a_body_that_is_announced_as_too_large_is_not_read(notes: Harness, length: str) -> None:
    body = Endless()
    headers = {**JSON, "content-length": length}
    answer = await notes.client_as("ada", "acme").post("/notes", content=body, headers=headers)
    assert answer.status_code == 413
    assert body.sent <= 10_000


async def test_a_route_may_bound_its_stream_itself(notes: Harness) -> None:
    assert (await notes.client(None).post("/uploads", content=b"x" * 300_000)).json() == 300_000


async def test_a_large_body_is_taken_where_a_route_says_so(notes: Harness) -> None:
    answer = await notes.client_as("root", "acme").post("/large", json={"text": "x" * 900_000})
    assert answer.json() == 900_000


async def test_who_sends_slowly_holds_no_connection_of_the_database_and_is_cut_off(
    notes: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.door.body.BODY_TIMEOUT_SECONDS", 0.3)
    held: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"text":'
        pool: Any = notes.context.sessions.engine.pool
        held.append(pool.checkedout())
        await asyncio.sleep(30)  # sleep: a sender that stops
        yield b'"x"}'

    answer = await notes.client_as("ada", "acme").post("/notes", content=slow(), headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (408, "urn:uplift:problem:body-too-slow")
    assert held == [0]


def nested(depth: int, opening: str, closing: str) -> bytes:
    return f'{{"text": {opening * depth}{closing * depth}}}'.encode()


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (nested(15_000, "[", ""), "too-deep"),
        (nested(15_000, "[", "]"), "too-deep"),
        (nested(9_000, '{"a":', ""), "too-deep"),
        (nested(65, "[", "]"), "too-deep"),
        (nested(63, "[", "]"), "invalid-fields"),
        (b'{"text": ' + b"9" * 5000 + b"}", "unreadable-json"),
        (b'{"text": NaN}', "unreadable-json"),
        (b'{"text": "\xff"}', "unreadable-json"),
        ('{"text": "x"}'.encode("utf-16"), "unreadable-json"),
        (b'{"text": "a\\u0000b"}', "unstorable-text"),
        (b'{"text": "a\\ud83d b"}', "unstorable-text"),
        (b'{"text": "x", "a\\u0000b": 1}', "unstorable-text"),
        (b'{"text": "x", "slow": 1e999}', "unreadable-json"),
    ],
)
async def test_json_that_nobody_should_have_to_read(notes: Harness, body: bytes, slug: str) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:uplift:problem:{slug}")


@pytest.mark.parametrize("piece", [b"[]", b"1", b'{"a":1}', b'"\\""', b'",[", 1'])
async def test_json_of_very_many_values(notes: Harness, piece: bytes) -> None:
    client = notes.client_as("ada", "acme")
    answer = await client.post("/notes", content=b'{"text": [%s]}' % b",".join([piece] * 20_000), headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:uplift:problem:too-many-values")


async def test_what_stands_in_a_text_is_no_value(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": 'a, [b\\ ", {c: ' * 5_000})
    assert answer.is_success, answer.text


async def test_of_very_many_faults_the_first_ones_are_told(notes: Harness) -> None:
    """Telling all of them would hold the loop."""
    strange = {"text": "x", **{f"strange{number}": 1 for number in range(5_000)}}
    answer = await notes.client_as("ada", "acme").post("/notes", json=strange)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]][:2] == ["/body/strange0", "/body/strange1"]


async def test_a_pair_of_surrogates_is_a_character(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", content=b'{"text": "\\ud83d\\ude00"}', headers=JSON)
    assert answer.json()["text"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("path", "pointer", "cure"),
    [
        ("/notes?limitt=5", "/query/limitt", "`limit`"),
        ("/notes?form=x", "/query/form", "`after`"),
        ("/me?dry_run=true", "/query/dry_run", "leave it out"),
        ("/notes?limit=5&limit=6", "/query/limit", "once"),
        ("/days?form=2026-01-01", "/query/form", "`from`"),
        ("/notes?after=" + "x" * 5000, "/query/after", "4,000"),
    ],
)
async def test_an_unknown_parameter_is_told_with_the_nearest(
    notes: Harness, path: str, pointer: str, cure: str
) -> None:
    answer = await notes.client_as("ada", "acme").get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    (problem,) = answer.json()["errors"]
    assert problem["pointer"] == pointer
    assert cure in problem["cure"]


async def test_an_unknown_parameter_is_told_to_those_who_are_known_only(notes: Harness) -> None:
    assert (await notes.client(None).get("/notes?limitt=5")).status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer", "cure"),
    [
        ({"text": "x", "slo": 1}, "/body/slo", "`slow`"),
        ({"text": "x", "zzz": 1}, "/body/zzz", "known are `slow`, `text`, `then`"),
        ({"text": ""}, "/body/text", "at least 1 characters"),
        ({"text": 5}, "/body/text", "send a text in quotes"),
        ({}, "/body/text", "add it"),
        ({"text": "x", "slow": "much"}, "/body/slow", "send a number, such as 12.5; got 'much'"),
        ([], "/body", "send an object"),
    ],
)
async def test_the_cure_says_what_to_do(notes: Harness, body: Any, pointer: str, cure: str) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["pointer"] == pointer
    assert cure in problem["cure"]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("", 200, ""),
        ("from=2026-01-01&to=2027-02-04", 200, ""),
        ("from=2026-01-01&to=2027-02-05", 422, "at most 400 days at once: begin with 2026-01-02"),
        ("from=0001-01-01&to=9999-12-31", 422, "send 1970-01-01 or more"),
        ("from=1970-01-01", 422, "at most 400 days"),
        ("to=1970-01-01", 200, ""),
        ("from=2026-01-02&to=2026-01-01", 422, "exchange them"),
        ("from=2026-02-30", 422, "send a day such as 2026-03-31"),
        ("from=99999999999999", 422, "send a day such as"),
    ],
)
async def test_a_range_of_days_has_bounds(notes: Harness, query: str, status: int, told: str) -> None:
    answer = await notes.client_as("ada", "acme").get(f"/days?{query}")
    assert answer.status_code == status, answer.text
    assert told in answer.text


async def test_a_cursor_is_of_one_list_and_one_installation(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    for text in ("a", "b"):
        await client.post("/notes", json={"text": text})
    cursor = (await client.get("/notes?limit=1")).json()["next"]
    assert [each["text"] for each in (await client.get(f"/notes?after={cursor}")).json()["items"]] == ["b"]
    flipped = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    for made_up in (flipped, cursor[:20], cursor + "AAAA"):
        assert (await client.get("/notes", params={"after": made_up})).status_code == 422
    assert (await notes.client_as("root", "acme").get(f"/dead-letters?after={cursor}")).status_code == 422
    notes.context.settings.secret = "another installation"
    try:
        assert (await client.get(f"/notes?after={cursor}")).status_code == 422
    finally:
        notes.context.settings.secret = "only-for-development"


def test_a_route_that_does_not_say_who_may_call_it_is_not_made() -> None:
    """What nobody has thought of is open to nobody."""
    routes = router()
    with pytest.raises(TypeError, match="may call"):

        @routes.get("/forgotten")
        async def forgotten(caller: CallerDep) -> None: ...  # pyright: ignore[reportUnusedFunction]

    with pytest.raises(TypeError, match="may call"):
        route_policy(idempotency_key=False)
    known: list[tuple[tuple[str, ...], Reach | None, bool]] = [
        (("trainer",), None, True),
        (("trainer",), "people", False),
        ((), "tenant", False),
    ]
    for roles, reach, whole in known:

        @route_policy(roles=roles, reach=reach)
        def said() -> None: ...

        assert said.__dict__["route_policy"].whole_tenant == whole, (roles, reach)
