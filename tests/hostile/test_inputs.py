"""What fuzzing found, and its kin, one row each: it is refused with its place and its cure, and never by luck."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import pytest
from contracts import ALL_SERVICES
from fastapi import FastAPI
from gamification.model.rules import Amount
from pydantic import TypeAdapter, ValidationError

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import NOBODY, PROBLEM, Route, routes

NO_DAYS = ["0", "-1", "1e9", "1700000000", "1700000000000", "20260303", "2026-3-3", "2026-03-03T00:00:00", "+2026-03-03",
           "２０２６-03-03", "2026-W10-2", "0000-01-01", "0001-01-01", "1969-12-31", "9999-12-31", "3000-01-01",
           "10000-01-01", "2026-02-30", "2026-03-03Z", "NaN", "Infinity", "today", " 2026-03-03"]  # fmt: skip
NO_INSTANTS: list[Any] = [
    0, 1.5, True, 1700000000, "0", "1700000000", "2999-01-01", "2999-01-01T09:00:00", "2999-01-01T09:00:00+24:00", "2999-01-01T25:00:00Z",
    "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2999-12-31T23:59:59-12:00",
    "+2999-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "NaN", [], {},
]  # fmt: skip
NO_JSON = {
    "not a number": b'{"slug": NaN}', "infinite": b'{"slug": Infinity}', "less than that": b'{"slug": -Infinity}', "too large": b'{"slug": 1e999}',
    "long number": b'{"slug": ' + b"9" * 5000 + b"}", "deep lists": b"[" * 5000 + b"]" * 5000, "deep objects": b'{"a":' * 500 + b"1" + b"}" * 500,
    "nul": b'{"slug": "a\\u0000"}', "half a pair": b'{"slug": "\\ud800"}', "the other half": b'{"slug": "\\udc00a"}', "nul as a key": b'{"\\u0000": 1}',
    "a mark first": b'\xef\xbb\xbf{"slug": "a"}', "UTF-16": '{"slug": "a"}'.encode("utf-16"), "UTF-32": '{"slug": "a"}'.encode("utf-32"),
    "no UTF-8": b'{"slug": "\xff"}', "long form of a slash": b'{"slug": "\xc0\xaf"}', "a surrogate in UTF-8": b'{"slug": "\xed\xa0\x80"}',
    "cut off": b'{"slug": ', "nothing": b"", "a space": b" ", "null": b"null", "a list": b"[]", "a text": b'"x"', "a number": b"0", "two": b"{} {}",
    "a comma": b'{"slug": "a",}', "single quotes": b"{'slug': 'a'}", "a raw NUL": b'{"slug": "a\x00"}', "a raw newline": b'{"slug": "a\n"}',
}  # fmt: skip
TYPES = ["text/plain", "application/xml", "", ";", "application/json; charset=utf-16", "application/json; charset=nonsense", "application/jsonx",
         "APPLICATION/JSON", "application/json, text/plain", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x",
         "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-7", "text/csv; charset=utf-16", "\xff"]  # fmt: skip
HEADERS = [
    ("accept", b"\xff\xfe"), ("accept", b"a" * 5000), ("accept-language", b"\x00"), ("if-none-match", b"\xff"), ("if-match", b'"' * 500),
    ("if-none-match", b","), ("idempotency-key", b"\xff"), ("idempotency-key", b"a" * 201), ("x-request-id", b"\xe2\x80\xae"), ("traceparent", b"00-zz"),
    ("range", b"bytes=-1"), ("content-length", b"x"), ("content-length", b"-1"), ("content-length", "²".encode("latin-1")), ("content-length", b"9" * 400),
    ("host", b"\xff"), ("x-forwarded-for", b"'"), ("prefer", b"respond-async; wait=x"), ("cookie", b"a=\xff"), ("content-encoding", b"nonsense"),
]  # fmt: skip


def nowhere(route: Route) -> str:
    """An address at which nothing is, so that what is refused late changes nothing."""
    return route.address(
        dict.fromkeys(("receipt", "interaction", "assignment", "submission", "dead_letter"), NOBODY)
        | {"source": "no", "form": "no"}
    )


async def asked(client: httpx.AsyncClient, requests: Iterable[tuple[str, dict[str, Any]]]) -> list[httpx.Response]:
    """Several at a time: their addresses with methods, as `GET /x`, and what else the client is told."""
    answers: list[httpx.Response] = []
    waiting = [client.request(*what.split(" ", 1), **told) for what, told in requests]
    for number in range(0, len(waiting), 8):
        answers += await asyncio.gather(*waiting[number : number + 8])
    return answers


async def test_a_day_is_written_as_one(suite: HostileSuite) -> None:
    """A number is no day, although the validator would count it in seconds since 1970."""
    tried = 0
    for route in routes(suite, "GET"):
        for name, described in route.parameters("query").items():
            if '"date"' not in json.dumps(described):
                continue
            tried += 1
            what = f"GET {route.address(suite.ids)}"
            answers = await asked(
                suite.client(route.service), [(what, {"params": {**route.needed, name: day}}) for day in NO_DAYS]
            )
            for day, answer in zip(NO_DAYS, answers, strict=True):
                told = f"{route.name} {name}={day}: {answer.status_code} {answer.text}"
                assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), told
                assert answer.json()["errors"][0]["pointer"] == f"/query/{name}", told
    assert tried > 5


async def test_an_instant_is_written_as_one(suite: HostileSuite) -> None:
    for what, field in (
        ("POST /templates/intro/publish", "at"),
        ("POST /assignments", "due_at"),
    ):
        bodies = [{"agent": "ada", "template": "intro"} if field == "due_at" else {} for _ in NO_INSTANTS]
        asks = [(what, {"json": {**body, field: value}}) for body, value in zip(bodies, NO_INSTANTS, strict=True)]
        answers = await asked(suite.client("training"), asks)
        for value, answer in zip(NO_INSTANTS, answers, strict=True):
            assert answer.status_code == 422, f"{what} {value}: {answer.status_code} {answer.text}"


async def test_what_is_no_json_breaks_no_route(suite: HostileSuite) -> None:
    for route in routes(suite, "POST", "PUT", "PATCH"):
        if "application/json" not in route.described.get("requestBody", {}).get("content", {}):
            continue
        what = f"{route.method} {nowhere(route)}"
        headers = {"content-type": "application/json"}
        answers = await asked(
            suite.client(route.service), [(what, {"content": each, "headers": headers}) for each in NO_JSON.values()]
        )
        for name, answer in zip(NO_JSON, answers, strict=True):
            known = str(answer.status_code) in route.described["responses"]
            assert known, f"{route.name} {name}: {answer.status_code} {answer.text}"
            assert answer.status_code < 500, f"{route.name} {name}: {answer.text}"


async def test_no_content_type_breaks_a_route(suite: HostileSuite) -> None:
    for route in routes(suite, "POST", "PUT", "PATCH"):
        if "requestBody" not in route.described:
            continue
        asks = [
            (f"{route.method} {nowhere(route)}", {"content": body, "headers": {"content-type": kind.encode("latin-1")}})
            for kind in TYPES
            for body in (b"--x\r\n5", b"a=%00&a=%ff&logout_token=x")
        ]
        for ask, answer in zip(asks, await asked(suite.client(route.service), asks), strict=True):
            known = str(answer.status_code) in route.described["responses"]
            assert known, f"{route.name} {ask}: {answer.status_code} {answer.text}"
            assert answer.status_code < 500, f"{route.name} {ask}: {answer.text}"


async def test_no_header_breaks_a_route(suite: HostileSuite) -> None:
    for route in routes(suite, "GET"):
        if route.streams or route.path in ("/dead-letters", "/behind"):
            continue
        what = f"GET {route.address(suite.ids)}"
        asks = [(what, {"params": route.needed, "headers": {name: value}}) for name, value in HEADERS]
        for header, answer in zip(HEADERS, await asked(suite.client(route.service), asks), strict=True):
            known = str(answer.status_code) in {*route.described["responses"], "413"}
            assert known, f"{route.name} {header}: {answer.status_code} {answer.text}"
            assert answer.status_code < 500, f"{route.name} {header}: {answer.text}"


async def test_a_name_with_a_line_break_leads_nowhere(suite: HostileSuite) -> None:
    """Below the prefix nothing answers it, and it is refused like everything else."""
    for service in ALL_SERVICES:
        answer = await suite.client(service).get("/a%0Ab/c")
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize("number", ["1e-999999", "1E+999999", "1e300", "NaN", "Infinity", "-1", "0", "x", ""])
def test_an_amount_is_of_bounded_length(number: str) -> None:
    """It is reckoned with exactly: some of these are fractions of a million digits."""
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_python(number)


def test_documents_say_what_the_validators_refuse(apps: Mapping[str, FastAPI]) -> None:
    """A mapping whose keys match a pattern has no others, and a decimal in quotes is a number."""

    def each(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            yield part
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
            yield from each(inner)

    for name, app in apps.items():
        for schema in each(app.openapi()["components"]["schemas"]):
            if "patternProperties" in schema:
                assert schema["additionalProperties"] is False, f"{name}: {schema}"
            match schema.get("anyOf"):
                case [{"type": "number"}, {"type": "string"} as text, *_]:
                    assert "pattern" in text, f"{name}: {schema}"
                case _:
                    pass


@pytest.mark.parametrize("value", [0, 1, "true", "yes", "", None, [], 0.0])
async def test_a_switch_is_true_or_false(suite: HostileSuite, value: Any) -> None:
    hook = {"url": "https://example.org/hook", "events": ["assignment.assigned"]}
    rule = {"rule": "g1", "kind": "training_completed", "points": 50, "title": {"en": "Finished"}}
    for service, path, body in (
        ("notification", "/webhooks/crm", {**hook, "enabled": value}),
        ("notification", "/webhooks/crm", {**hook, "rotate_secret": value}),
        ("gamification", "/rules/g1", {**rule, "active": value}),
        ("gamification", "/rules/g1", {**rule, "passed_only": value}),
        ("gamification", "/rules/g1", {**rule, "retired": value}),
    ):
        answer = await suite.client(service).put(path, json=body)
        assert answer.status_code == 422, f"{path} {body}: {answer.text}"
