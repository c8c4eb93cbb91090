"""Identity asks the services before it publishes; one that does not answer is reported, and nothing is applied."""

import asyncio
from typing import Any

import httpx
import pytest
from contracts.section_names import merge_names
from identity.clients import sections
from identity.clients.sections import CheckUnavailable, SectionCheckClient
from servicekit.blueprints.checking import SectionCheck

NOWHERE = "http://127.0.0.1:1/{service}"
BUNDLE: dict[str, Any] = {
    "blueprint": "b",
    "sections": {"identity": {"org_units": [{"slug": "site"}]}, "training": {"rules": []}},
}


def answering(*answers: httpx.Response) -> tuple[SectionCheckClient, list[httpx.Request]]:
    """Answers in turn, the last one for ever."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answers[min(len(requests), len(answers)) - 1]

    return SectionCheckClient(
        httpx.AsyncClient(transport=httpx.MockTransport(answer)), "http://{service}:8000/"
    ), requests


def problem(status: int, detail: str) -> httpx.Response:
    document = {"type": "t", "title": "T", "status": status, "detail": detail, "instance": "/"}
    return httpx.Response(status, json=document)


async def test_a_service_is_called_with_the_callers_token_and_again_while_it_does_not_know_them() -> None:
    services, requests = answering(problem(403, "nobody"), httpx.Response(200, json={"problems": [], "changes": {}}))
    found = await services.check("forms", b"{}", tenant="demo", token="abc")
    assert found == SectionCheck()
    assert [str(each.url) for each in requests] == [
        "http://forms:8000/api/forms/v1/blueprint-section/check?tenant=demo"
    ] * 2
    assert requests[0].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (problem(503, "the database is away"), "the database is away"),
        (problem(401, "the token is over"), "the token is over"),
        (httpx.Response(502, text="no upstream"), "status 502"),
        (httpx.Response(200, text="<html>"), "status 200"),
    ],
)
async def test_no_answer_is_none(answer: httpx.Response, why: str) -> None:
    services, _ = answering(answer)
    found = await services.check("forms", b"{}", tenant="demo", token="abc")
    assert isinstance(found, CheckUnavailable)
    assert why in found.reason


@pytest.mark.parametrize("breaks", [1, 2])
async def test_a_connection_that_breaks_is_made_anew_once(breaks: int) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if len(requests) <= breaks:
            raise httpx.ReadError("closed")
        return httpx.Response(200, json={"problems": [], "changes": {}})

    services = SectionCheckClient(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "http://x")
    found = await services.check("forms", b"{}", tenant="demo", token="abc")
    assert found == (SectionCheck() if breaks == 1 else CheckUnavailable("it cannot be reached (ReadError)"))
    assert len(requests) == 2


async def test_a_service_that_does_not_answer_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    services = SectionCheckClient(httpx.AsyncClient(transport=httpx.MockTransport(never)), "http://x", seconds=0.05)
    found = await services.check("forms", b"{}", tenant="demo", token="abc")
    assert isinstance(found, CheckUnavailable)
    assert "within 0.05 s" in found.reason
    assert sections.CHECK_SECONDS < 30  # the gateway's


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_service_that_cannot_be_reached_keeps_all_of_it_from_being_published(identity, dry_run) -> None:
    identity.harness.running.parts.state.sections = SectionCheckClient(identity.harness.context.http, NOWHERE)
    await identity.tenant("demo")
    path = f"/tenants/demo/blueprint?dry_run={dry_run}"
    refused = await identity.call("boss@demo", "PUT", path, 503, json=BUNDLE)
    assert [(each["pointer"], each["line"]) for each in refused["errors"]] == [("/sections/training", 1)]
    assert "training could not be asked" in refused["errors"][0]["problem"]
    assert identity.published == []
    wrong = {**BUNDLE, "sections": {**BUNDLE["sections"], "identity": {"time_zone": "Mars"}}}
    refused = await identity.call("boss@demo", "PUT", path, 422, json=wrong)
    assert {each["pointer"] for each in refused["errors"]} == {"/sections/identity/time_zone", "/sections/training"}


async def test_without_an_address_of_the_services_it_says_what_nobody_looked_at(identity) -> None:
    await identity.tenant("demo")
    report = await identity.call("boss@demo", "PUT", "/tenants/demo/blueprint?dry_run=true", json=BUNDLE)
    assert report["unchecked"] == ["training"]
    assert report["changes"]["identity"] == {"org_units": {"created": ["site"], "changed": [], "removed": []}}


def test_names_after_a_blueprint_are_those_that_stay_and_those_that_come() -> None:
    now = {
        "forms": {"forms": [{"form": "old", "schema": {"properties": {"a": {}}}}]},
        "kpi-engine": {"kpis": [{"kpi": "gone"}]},
        "training": {"templates": [{"template": "stays"}]},
        "ingest": {"sources": [{"source": "acd", "options": {"keep_attributes": ["language"]}}]},
    }
    matrix = {"type": "object", "properties": {"row": {}}}
    new = {
        "forms": {"forms": [{"form": "new", "schema": {"properties": {"b": matrix}}}]},
        "kpi-engine": {"kpis": [{"kpi": "k", "bands": {"edges": [{"name": "good"}, {"from": 1}]}}, 7, {"kpi": ["x"]}]},
        "ingest": {"sources": "broken"},
    }
    names = merge_names(now, new)
    assert names["form"] == {"old": ["a"], "new": ["b", "b.row"]}
    assert names["KPI"] == {"k": ["good"]}
    assert names["template"] == {"stays": None}
    assert names["source"] == {"acd": ["language"]}
    assert names["org unit"] == {}
    assert "agent" in names["role"]
