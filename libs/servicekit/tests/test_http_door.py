"""One request, one transaction: committed before the answer leaves, rolled back on any error."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import httpx
import psycopg
import pytest
from contracts.assignments import AssignmentAssigned
from testkit import Cluster, Harness, wait_until_true

PROBLEM = "application/problem+json"


async def texts(notes: Harness, tenant: str = "acme") -> list[str]:
    return [row["text"] for row in await notes.rows(tenant, "SELECT text FROM note ORDER BY text")]


async def emitted(notes: Harness) -> int:
    return len(await notes.read_events(AssignmentAssigned))


def unraised(notes: Harness, who: str = "ada") -> httpx.AsyncClient:
    """A client that shows a crash as the answer it gives rather than as the exception."""
    client = notes.client_as(who, "acme")
    client._transport = httpx.ASGITransport(notes._root, raise_app_exceptions=False)
    return client


async def test_row_and_event_are_committed_before_the_first_byte_of_the_answer(notes: Harness) -> None:
    seen: list[tuple[str, list[str], int]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        seen.append((message["type"], await texts(notes), await emitted(notes)))

    body = json.dumps({"text": "first"}).encode()
    token = notes.issuer.token("ada", "acme")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/api/training/v1/notes", "raw_path": b"/api/training/v1/notes", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("test", 80),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    await notes._root(scope, receive, send)
    assert seen[0] == ("http.response.start", ["first"], 1)


@pytest.mark.parametrize(
    ("then", "status", "slug"), [("conflict", 409, "thought-better"), ("invalid", 422, "not-this")]
)
async def test_an_error_leaves_neither_row_nor_event(notes: Harness, then: str, status: int, slug: str) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": "x", "then": then})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["type"] == f"urn:uplift:problem:{slug}"
    assert answer.json()["instance"] == "/api/training/v1/notes"
    assert await texts(notes) == []
    assert await emitted(notes) == 0


async def test_a_problem_names_the_place_and_the_cure(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": "x", "then": "invalid"})
    assert answer.json()["errors"] == [{"pointer": "/text", "problem": "no", "cure": "another", "line": 3, "column": 5}]


async def test_a_crash_rolls_back_and_tells_nothing_of_the_inside(notes: Harness) -> None:
    answer = await unraised(notes).post("/notes", json={"text": "x", "then": "crash"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "secret" not in answer.text
    assert await texts(notes) == []
    assert await emitted(notes) == 0


async def test_what_fails_at_the_commit_is_not_answered_as_a_success(notes: Harness) -> None:
    client = unraised(notes)
    assert (await client.post("/notes", json={"text": "same"})).status_code == 201
    again = await client.post("/notes", json={"text": "same"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:uplift:problem:there-already")
    assert "`text`" in again.json()["detail"]
    assert await texts(notes) == ["same"]
    assert await emitted(notes) == 1


async def test_tenants_do_not_see_each_other(notes: Harness) -> None:
    await notes.client_as("ada", "acme").post("/notes", json={"text": "ours"})
    assert (await notes.client_as("zoe", "zeta").get("/notes")).json()["items"] == []


# Problem documents of what never reached a handler


async def test_invalid_fields_are_named(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": "", "slow": "much"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/body/text", "/body/slow"}


async def test_broken_json_is_a_problem_document(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post(
        "/notes", content=b'{"text": ', headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:invalid-fields")


async def test_broken_json_is_told_by_line_and_column(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post(
        "/notes", content=b'{"slow": 0,\n "text": }', headers={"content-type": "application/json"}
    )
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["line"], problem["column"]) == ("/body", 2, 10)
    assert "Expecting value" in problem["problem"]


async def test_a_body_that_is_not_marked_as_json_is_told_how(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post(
        "/notes", content=b'{"text": "x"}', headers={"content-type": "application/x-www-form-urlencoded"}
    )
    (problem,) = answer.json()["errors"]
    assert "Content-Type: application/json" in problem["cure"]
    assert "x-www-form-urlencoded" in problem["cure"]


async def test_openapi_tells_of_problems_and_of_idempotency_keys(notes: Harness) -> None:
    paths = (await notes.client(None).get("/openapi.json")).json()["paths"]
    assert "application/problem+json" in paths["/notes"]["get"]["responses"]["422"]["content"]
    assert "Idempotency-Key" in [each["name"] for each in paths["/notes"]["post"]["parameters"]]
    assert "Idempotency-Key" not in [each["name"] for each in paths["/notes"]["get"]["parameters"]]


async def test_who_has_no_token_learns_nothing_of_the_fields(notes: Harness) -> None:
    assert (await notes.client(None).post("/notes", json={})).status_code == 401


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PATCH", "/notes", 405)])
async def test_unknown_paths_and_methods_are_problem_documents(
    notes: Harness, method: str, path: str, status: int
) -> None:
    answer = await notes.client_as("ada", "acme").request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status
    assert ("allow" in answer.headers) == (status == 405)


async def test_a_text_that_the_database_cannot_hold_is_the_callers_mistake(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": "nul \x00 inside"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:unstorable-text")
    assert answer.json()["errors"][0]["pointer"] == "/body/text"


# Idempotency-Key


async def test_the_same_key_again_replays_the_answer(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    first = await client.post("/notes", json={"text": "once"}, headers={"idempotency-key": "k1"})
    again = await client.post("/notes", json={"text": "once"}, headers={"idempotency-key": "k1"})
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await texts(notes) == ["once"]
    assert await emitted(notes) == 1


async def test_the_same_key_for_something_else_is_refused(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    await client.post("/notes", json={"text": "once"}, headers={"idempotency-key": "k1"})
    for request in (
        client.post("/notes", json={"text": "other"}, headers={"idempotency-key": "k1"}),
        client.post("/forms", data={"text": "once"}, headers={"idempotency-key": "k1"}),
    ):
        answer = await request
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:idempotency-key-reused")
    assert await texts(notes) == ["once"]


async def test_an_answer_is_kept_for_a_day(notes: Harness) -> None:
    """Then the key is free again, and who adds an answer takes those away that are over."""
    client = notes.client_as("ada", "acme")
    for number in range(3):
        key = {"idempotency-key": f"k{number}"}
        assert (await client.post("/notes", json={"text": f"{number}"}, headers=key)).status_code == 201
    await notes.rows("acme", "UPDATE idempotent_response SET at = at - interval '24 hours' RETURNING key")
    again = await client.post("/notes", json={"text": "another"}, headers={"idempotency-key": "k0"})
    assert (again.status_code, again.json()["text"]) == (201, "another")
    assert [row["key"] for row in await notes.rows("acme", "SELECT key FROM idempotent_response")] == ["k0"]


async def test_an_answer_that_streams_is_replayed_whole(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    first, again = [await client.post("/told", headers={"idempotency-key": "k1"}) for _ in range(2)]
    assert (first.text, again.text) == ("one\ntwo\n", "one\ntwo\n")
    assert again.headers["idempotency-replayed"] == "true"
    assert await texts(notes) == ["told"]


async def test_where_no_answer_is_kept_a_key_is_refused(notes: Harness) -> None:
    answer = await notes.client_as("ada", "acme").post("/secrets", headers={"idempotency-key": "k1"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:no-idempotency-key")
    assert (await notes.client_as("ada", "acme").post("/secrets")).status_code == 200


@pytest.mark.parametrize("key", ["k" * 201, "k\x7f"])
async def test_a_key_has_bounds(notes: Harness, key: str) -> None:
    answer = await notes.client_as("ada", "acme").post("/notes", json={"text": "x"}, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:bad-idempotency-key")


async def test_a_key_belongs_to_one_caller(notes: Harness) -> None:
    for who in ("ada", "ben"):
        answer = await notes.client_as(who, "acme").post(
            "/notes", json={"text": who}, headers={"idempotency-key": "k1"}
        )
        assert answer.json()["text"] == who


async def test_the_same_key_at_once_is_executed_once(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")

    async def post() -> httpx.Response:
        return await client.post("/notes", json={"text": "once", "slow": 0.2}, headers={"idempotency-key": "k1"})

    answers = await asyncio.gather(*(post() for _ in range(4)))
    assert {(each.status_code, each.content) for each in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" in each.headers for each in answers) == 3
    assert await texts(notes) == ["once"]


async def test_an_error_is_not_remembered(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    key = {"idempotency-key": "k1"}
    assert (await client.post("/notes", json={"text": "x", "then": "conflict"}, headers=key)).status_code == 409
    assert (await client.post("/notes", json={"text": "x", "then": "conflict"}, headers=key)).status_code == 409
    assert (await client.post("/notes", json={"text": "x"}, headers=key)).status_code == 201


async def test_a_form_can_have_a_key(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    for files in ({"text": (None, "posted")}, {"text": (None, "posted")}):
        headers = {"idempotency-key": "k1", "content-type": "multipart/form-data; boundary=b"}
        body = f'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n{files["text"][1]}\r\n--b--\r\n'
        assert (await client.post("/forms", content=body, headers=headers)).status_code == 201
    assert await texts(notes) == ["posted"]


async def test_a_read_needs_no_key_and_ignores_one(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    key = {"idempotency-key": "k1"}
    assert (await client.get("/notes", headers=key)).json()["items"] == []
    await client.post("/notes", json={"text": "x"})
    assert len((await client.get("/notes", headers=key)).json()["items"]) == 1


# Paging


async def test_pages_hold_every_row_once(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    for number in range(5):
        await client.post("/notes", json={"text": str(number)})
    found: list[str] = []
    after: dict[str, str] = {}
    for expected in (2, 2, 1):
        page = (await client.get("/notes", params={"limit": 2, **after})).json()
        assert len(page["items"]) == expected
        found += [each["text"] for each in page["items"]]
        after = {"after": page["next"]}
    assert page["next"] is None
    assert found == ["0", "1", "2", "3", "4"]


async def test_a_full_last_page_has_no_next(notes: Harness) -> None:
    client = notes.client_as("ada", "acme")
    await client.post("/notes", json={"text": "x"})
    assert (await client.get("/notes", params={"limit": 1})).json()["next"] is None


# "…", "W10" is [], "WzFd" is [1], "bnVsbA" is null, "e30" is {}
@pytest.mark.parametrize("after", ["…", "%", "not-base64!", "bnVsbA", "e30", "WzFd", "", "////", "W1tbW1tbW1tbW1tbW10"])
async def test_a_made_up_cursor_is_the_callers_mistake(notes: Harness, after: str) -> None:
    answer = await notes.client_as("ada", "acme").get("/notes", params={"after": after})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many"])
async def test_limits_have_bounds(notes: Harness, limit: str) -> None:
    answer = await notes.client_as("ada", "acme").get("/notes", params={"limit": limit})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/limit")


# The database goes away


async def test_without_a_database_the_answer_is_try_again(own_notes: Harness, cluster: Cluster) -> None:
    client = own_notes.client_as("ada", "acme")
    assert (await client.get("/notes")).status_code == 200
    cluster.drop(str(own_notes.context.sessions.engine.url.database))
    for _ in range(2):
        answer = await client.get("/notes")
        assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "urn:uplift:problem:database-away"


async def test_a_database_that_came_back_is_found_again(notes: Harness, cluster: Cluster) -> None:
    client = notes.client_as("ada", "acme")
    assert (await client.get("/notes")).status_code == 200
    with psycopg.connect(cluster.server.dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [notes.context.sessions.engine.url.database],
        )
    assert (await client.get("/notes")).status_code == 200


async def test_a_connection_that_breaks_in_the_middle_is_try_again(notes: Harness, cluster: Cluster) -> None:
    client = notes.client_as("ada", "acme")
    asked = asyncio.create_task(client.post("/notes", json={"text": "x", "slow": 0.5}))
    with psycopg.connect(cluster.server.dsn, autocommit=True) as admin:

        async def broken() -> bool:
            # While the handler pauses between its statement and the end.
            found = admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                "AND state = 'idle in transaction' AND query LIKE 'INSERT INTO note%%'",
                [notes.context.sessions.engine.url.database],
            )
            return found.rowcount == 1

        await wait_until_true(broken)
    assert (await asked).status_code == 503
    assert await texts(notes) == []
