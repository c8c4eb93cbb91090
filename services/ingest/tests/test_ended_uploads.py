"""Uploads that end early: only rejected records, a client that disconnected, a cancelled receipt."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts.legs import LegRecorded
from ingest.actions import archive
from ingest.actions.reject_limits import HourlyCounter, RejectLimits, RejectTally
from ingest.api.records import RequestBody
from ingest.model.refusal import Refusal
from ingest_records import configure_source, contact
from starlette.requests import Request
from testkit import Harness, wait_until_true

RECORDS = "/sources/connect/records"
LATER = {"prefer": "respond-async"}
MAPPING = {
    "fields": {
        "contact": {"from": "CallID"},
        "started": {"from": "Start time"},
        "agent": {"from": "Agent"},
        "channel": {"value": "voice"},
    }
}


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def calls(count: int, begin: int = 0) -> bytes:
    return lines(*(contact(f"c-{number}") for number in range(begin, begin + count)))


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def test_seven_million_packed_rejects_end_the_reading_with_one_problem(ingest: Harness) -> None:
    body = gzip.compress(b"{}\n" * 7_000_000, mtime=0)
    begun = time.process_time()
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=body, timeout=60)).json()
    assert time.process_time() - begun < 3
    assert receipt["status"] == "done"
    assert receipt["received"] == 101
    problem = receipt["problems"][0]
    assert problem["kind"] == "body"
    assert problem["reason"].startswith("The first 100 records were all rejected for the same reason.")
    assert problem["reason"].endswith("Nothing after them was read.")
    assert problem["cure"].endswith("Then send the file again.")


async def test_a_body_that_is_bad_from_its_beginning_has_a_few_examples(ingest: Harness) -> None:
    ingest.running.parts.state.quota.chunk_records = 1000
    body = b"".join(b'{"nonsense": %d}\n' % number for number in range(20_000))
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=body)).json()
    assert (receipt["received"], receipt["rejected"], receipt["not_kept"]) == (101, 101, 90)
    assert [each["kind"] for each in receipt["problems"]] == ["body", *[None] * 10]
    rows = await ingest.rows("t1", "SELECT count(*) AS n FROM record")
    assert rows == [{"n": 11}]


@pytest.mark.parametrize(
    "verdicts,ended,reason",
    [
        ("a" * 100, 100, "The first 100 records were all rejected for the same reason"),
        ("ab" * 500, 1000, "The first 1,000 records were all rejected"),
        ("ab" * 499 + ".", None, ""),
        ("." + "a" * 1100, 1001, "Of 1,002 records 1,001 were rejected"),
        ("." * 20 + "a" * 3000, 1980, "Of 2,000 records 1,980 were rejected"),
        ("." + "ab" * 40, None, ""),
        (".a" * 5001, 5000, "5,000 records were rejected, more than one body may bring"),
    ],
)
def test_rejected_records_stop_the_reading_of_a_body(verdicts: str, ended: int | None, reason: str) -> None:
    """`.`: a record that is taken; a letter: one that is rejected, for this reason."""
    tally = RejectTally(RejectLimits(max_rejects=5000))
    found = None
    for verdict in verdicts:
        if verdict == ".":
            tally.accept()
        else:
            tally.reject(Refusal(verdict, f"wrong {tally.seen}", "Mend it."))
        if found := tally.find_stop_reason():
            break
    assert (tally.rejected if found else None) == ended
    assert tally.kept <= 1000
    if found:
        assert found.reason.startswith(reason)
        assert "`a`: wrong 0" in found.reason or "`a`: wrong 1" in found.reason or "`a`: wrong 20" in found.reason


async def test_a_tenant_over_its_hourly_limit_gets_429_with_retry_after(ingest: Harness) -> None:
    now = 1000.0
    reception = ingest.running.parts.state
    reception._hourly_records = HourlyCounter(50, lambda: now)
    client = ingest.client_as("robot", "t1")
    assert (await client.post(RECORDS, content=calls(60))).status_code == 200
    answer = await client.post(RECORDS, content=calls(1))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
    now += 3600
    assert (await client.post(RECORDS, content=calls(1))).status_code == 200


# Somebody leaves


class Wire:
    """What an ASGI server hands on: messages as the test sends them."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.request = Request({"type": "http", "headers": []}, self.messages.get)

    def send(self, body: bytes, *, more: bool = True) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})


async def test_a_body_is_complete_after_any_number_of_disconnect_checks() -> None:
    wire = Wire()
    body = RequestBody(wire.request)
    found = []
    for number in range(5):
        wire.send(b"%d" % number, more=number < 4)
    async for data in body:
        found.append(data)
        assert not await body.is_disconnected()
        assert not await body.is_disconnected()
    assert found == [b"0", b"1", b"2", b"3", b"4"]
    assert not await body.is_disconnected()
    wire.leave()
    await wait_until_true(body.is_disconnected)
    await body.close()


async def test_no_more_than_a_little_is_taken_in_ahead() -> None:
    wire = Wire()
    body = RequestBody(wire.request)
    for _ in range(10):
        wire.send(b"x" * (1 << 18))
    assert not await body.is_disconnected()
    assert wire.messages.qsize() >= 5
    await body.close()


async def test_what_a_sender_who_has_left_sent_is_not_read_on(ingest: Harness) -> None:
    """The whole body is here, and much of it is not judged yet."""
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": gzip.compress(calls(1000)), "more_body": False})
    messages.put_nowait({"type": "http.disconnect"})
    client = ingest.client_as("robot", "t1")
    request = client.build_request("POST", RECORDS)
    headers = [(name.lower(), value) for name, value in request.headers.raw if name.lower() != b"content-length"]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": request.url.path, "raw_path": request.url.raw_path, "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("testserver", 80), "root_path": "",
    }  # fmt: skip
    answered: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    await client._transport.app(scope, messages.get, send)  # type: ignore[attr-defined]
    (receipt,) = (await client.get("/receipts")).json()["items"]
    assert (receipt["status"], receipt["accepted"]) == ("interrupted", 50)
    assert len(await ingest.read_events(LegRecorded)) == 50


# A receipt is cancelled


class Slowly:
    """A body whose first part is sent at once, and the rest when the test allows it."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.go_on = asyncio.Event()
        self._parts = first, rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, rest = self._parts
        yield first
        await self.go_on.wait()
        yield rest


async def only(ingest: Harness, status: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        items = (await ingest.client_as("robot", "t1").get("/receipts")).json()["items"]
        return items[0] if items and items[0]["status"] == status else None

    return await wait_until_true(found)


async def test_a_receipt_is_cancelled_while_its_body_is_read(ingest: Harness) -> None:
    client, body = ingest.client_as("robot", "t1"), Slowly(calls(60), calls(100, 60))
    sending = asyncio.create_task(client.post(RECORDS, content=body, timeout=60))
    receipt = await only(ingest, "reading")
    cancelled = (await client.post(f"/receipts/{receipt['id']}/cancel")).json()
    assert (cancelled["status"], cancelled["accepted"]) == ("cancelled", 50)
    body.go_on.set()
    answer = await sending
    assert (answer.status_code, answer.json()["status"], answer.json()["accepted"]) == (200, "cancelled", 50)
    assert len(await ingest.read_events(LegRecorded)) == 50
    assert await ingest.rows("t1", "SELECT kind FROM due_item WHERE kind <> 'sweep'") == []
    assert (await client.post(f"/receipts/{receipt['id']}/cancel")).status_code == 409
    undone = (await client.delete(f"/receipts/{receipt['id']}")).json()
    assert (undone["records"], undone["legs_voided"]) == (50, 50)
    assert (await client.post(RECORDS, content=calls(160), timeout=60)).json()["accepted"] == 160


async def test_what_is_undone_while_it_is_still_read_stays_undone(ingest: Harness) -> None:
    client, body = ingest.client_as("robot", "t1"), Slowly(calls(60), calls(100, 60))
    sending = asyncio.create_task(client.post(RECORDS, content=body, timeout=60))
    receipt = await only(ingest, "reading")
    assert (await client.delete(f"/receipts/{receipt['id']}")).status_code == 409
    await client.post(f"/receipts/{receipt['id']}/cancel")
    await client.delete(f"/receipts/{receipt['id']}")
    body.go_on.set()
    assert (await sending).json()["status"] == "undone"
    assert await ingest.rows("t1", "SELECT count(*) AS n FROM leg WHERE NOT void") == [{"n": 0}]


@pytest.mark.parametrize("tick_first", [False, True])
async def test_a_queued_receipt_is_cancelled(ingest: Harness, tick_first: bool) -> None:
    client = ingest.client_as("robot", "t1")
    receipt = (await client.post(RECORDS, content=calls(10), headers=LATER)).json()
    assert receipt["status"] == "queued"
    if tick_first:
        await ingest.tick(soon())
        assert (await client.post(f"/receipts/{receipt['id']}/cancel")).status_code == 409
        return
    assert (await client.post(f"/receipts/{receipt['id']}/cancel")).json()["status"] == "cancelled"
    await ingest.tick(soon())
    found = (await client.get(f"/receipts/{receipt['id']}")).json()
    assert (found["status"], found["received"]) == ("cancelled", 0)
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == []


async def test_a_queued_receipt_is_cancelled_while_the_clock_reads_it(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, reception = ingest.client_as("robot", "t1"), ingest.running.parts.state
    receipt = (await client.post(RECORDS, content=calls(160), headers=LATER)).json()
    judge = reception._judge_chunk

    async def cancelled_after_the_first(*args: Any) -> Any:
        result = await judge(*args)
        await client.post(f"/receipts/{receipt['id']}/cancel")
        return result

    monkeypatch.setattr(reception, "_judge_chunk", cancelled_after_the_first)
    await ingest.tick(soon())
    found = (await client.get(f"/receipts/{receipt['id']}")).json()
    assert (found["status"], found["accepted"]) == ("cancelled", 50)
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == []
    assert await ingest.rows("t1", "SELECT kind FROM due_item WHERE kind <> 'sweep'") == []


async def test_a_receipt_is_cancelled_while_its_body_is_received(ingest: Harness) -> None:
    client, body = ingest.client_as("robot", "t1"), Slowly(b" " * (2 << 20), calls(10))
    sending = asyncio.create_task(client.post(RECORDS, content=body, headers=LATER, timeout=60))
    receipt = await only(ingest, "receiving")
    await client.post(f"/receipts/{receipt['id']}/cancel")
    body.go_on.set()
    assert (await sending).json()["status"] == "cancelled"
    await ingest.tick(soon())
    assert (await client.get(f"/receipts/{receipt['id']}")).json()["received"] == 0
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == []


async def test_only_who_may_send_may_cancel(ingest: Harness) -> None:
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=calls(1), headers=LATER)).json()
    for who in ("ada", "lea", "quinn"):
        assert (await ingest.client_as(who, "t1").post(f"/receipts/{receipt['id']}/cancel")).status_code == 403
    assert (await ingest.client_as("theo", "t1").post(f"/receipts/{receipt['id']}/cancel")).status_code == 200


# A problem of a whole file is listed once


ROW = "1,2026-03-02T08:00:00Z,ada\n"


@pytest.mark.parametrize(
    "body,reasons,cures",
    [
        (
            "Call Id,start_time,Agent\n" + ROW * 20_000,
            ["wants `CallID`, `Start time`,", "separated by commas: `Call Id`, `start_time`, `Agent`."],
            ["`CallID` is perhaps `Call Id`", "`Start time` is perhaps `start_time`", "Mend the mapping"],
        ),
        ("a,b,c\n" + ROW * 20_000, ["wants `CallID`", "`a`, `b`, `c`"], ["Mend the mapping"]),
        (
            "CallID:Start time:Agent\n" + ROW * 20_000,
            ["`CallID:Start time:Agent`"],
            ["seem to be separated by ':'", "`sep=:`"],
        ),
        ("sep=;\nCallID,Start time,Agent\n" + ROW * 20_000, ["separated by semicolons"], ["separated by ','"]),
        (",".join(f"n{n}" for n in range(1500)) + "\n" + ROW, ["and 1480 more"], ["Mend the mapping"]),
        ("CallID;Start time;Agent\n" + ROW * 20_000, ["The first 100 records", "1 cells, the header has 3"], ["Quote"]),
    ],
)
async def test_a_file_that_does_not_fit_its_mapping(
    ingest: Harness, body: str, reasons: list[str], cures: list[str]
) -> None:
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=MAPPING)
    receipt = (await ingest.client_as("robot", "t1").post("/sources/calls/records", content=body.encode())).json()
    problem, *others = receipt["problems"]
    assert len(others) <= 100
    assert problem["kind"] == "body"
    assert all(each in problem["reason"] for each in reasons), problem
    assert all(each in problem["cure"] for each in cures), problem
    if "The first" not in reasons[0]:
        assert (receipt["received"], receipt["rejected"]) == (1, 1)
        assert problem["field"] == "CallID"


async def test_csv_for_a_vendor_that_writes_json(ingest: Harness) -> None:
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=b"a,b\n" + b"1,2\n" * 20_000)).json()
    assert receipt["received"] == 1
    assert receipt["problems"][0]["reason"] == (
        "The source is of vendor amazon-connect, whose records are JSON; this is CSV with `a`, `b`."
    )


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
@pytest.mark.parametrize("form", ["csv", "json"])
async def test_a_file_in_another_encoding_is_read(ingest: Harness, encoding: str, form: str) -> None:
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=MAPPING)
    record = {"CallID": "1", "Start time": "2026-03-02T08:00:00Z", "Agent": "ada"}
    text = json.dumps(record) if form == "json" else ",".join(record) + "\n" + ",".join(record.values())
    receipt = (
        await ingest.client_as("robot", "t1").post("/sources/calls/records", content=text.encode(encoding))
    ).json()
    assert receipt["accepted"] == 1, receipt


async def test_a_source_that_is_switched_off_while_a_body_waits(ingest: Harness) -> None:
    client = ingest.client_as("robot", "t1")
    receipt = (await client.post(RECORDS, content=calls(500), headers=LATER)).json()
    await configure_source(ingest, "t1", status="paused")
    await ingest.tick(soon())
    found = (await client.get(f"/receipts/{receipt['id']}")).json()
    assert (found["status"], found["received"], found["rejected"]) == ("done", 1, 1)
    assert found["problems"][0]["reason"] == "The source `connect` is paused."


async def test_one_tenants_queued_bodies_keep_no_other_tenants_waiting(ingest: Harness) -> None:
    """While a long body of one is read, another's is read too, and short items of the clock as well."""
    from ingest_records import PEOPLE
    from testkit import org_unit, tenant

    await ingest.apply_directory("t2", people=PEOPLE, org_units=[org_unit("team-a")], of_tenant=tenant("t2"))
    await configure_source(ingest, "t2")
    reception, judge, first = ingest.running.parts.state, ingest.running.parts.state._judge_chunk, asyncio.Event()

    async def slow(order: Any, *args: Any) -> Any:
        if order.tenant == "t1":
            await first.wait()
        return await judge(order, *args)

    reception._judge_chunk = slow
    for _ in range(3):
        await ingest.client_as("robot", "t1").post(RECORDS, content=calls(500), headers=LATER)
    theirs = (await ingest.client_as("robot", "t2").post(RECORDS, content=calls(3), headers=LATER)).json()
    ticking = asyncio.create_task(ingest.tick(soon()))

    async def read() -> bool:
        found = (await ingest.client_as("robot", "t2").get(f"/receipts/{theirs['id']}")).json()
        return found["status"] == "done"

    await wait_until_true(read)
    first.set()
    await ticking
