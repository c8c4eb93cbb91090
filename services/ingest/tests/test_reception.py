"""Bodies that are large, broken, hostile, interrupted or spooled; roles of senders; configuration by blueprint."""

import asyncio
import gzip
import json
import resource
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts.blueprints import BlueprintPublished, SectionApplied, SectionRejected
from contracts.legs import LegRecorded
from ingest.actions import archive
from ingest.actions.uploads import Upload
from ingest.model.sources import build_source
from ingest.store import locks
from ingest_records import analysis, configure_source, contact
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError
from storage import Document
from testkit import Harness, person_id
from testkit.fixtures.mongodb import both_stores

RECORDS = "/sources/connect/records"
MAPPING = {
    "time_zone": "Europe/Berlin",
    "fields": {name: {"from": name} for name in ("contact", "started", "agent")} | {"channel": {"value": "voice"}},
}


def lines(*records: dict[str, Any]) -> bytes:
    return "\n".join(json.dumps(record) for record in records).encode()


async def test_nine_thousand_rejected_lines_among_others(ingest: Harness) -> None:
    ten = [b'{"nonsense": %d}' % n for n in range(9)] + [lines(contact())]
    quota = ingest.running.parts.state.quota
    quota.chunk_records, quota.rejects_kept = 1_000, 2_500
    client = ingest.client_as("robot", "t1")
    receipt = (await client.post(RECORDS, content=b"\n".join(ten * 1_000), timeout=60)).json()
    assert (receipt["received"], receipt["rejected"], receipt["not_kept"]) == (10_000, 9_000, 6_500)
    assert (receipt["accepted"], receipt["unchanged"]) == (1, 999)
    assert receipt["notes"] == ["6,500 more records were rejected; only the first 2,500 are listed."]
    assert len(receipt["problems"]) == 100
    found, after = 0, None
    while True:
        page = (
            await client.get(
                f"/receipts/{receipt['id']}/records",
                params={"verdict": "rejected", "limit": 1000} | ({"after": after} if after else {}),
            )
        ).json()
        assert all(each["line"] and each["reason"] and each["cure"] for each in page["items"])
        found, after = found + len(page["items"]), page["next"]
        if after is None:
            break
    assert found == 2_500
    again = (await client.post(f"/receipts/{receipt['id']}/replay", timeout=60)).json()
    names = ("received", "rejected", "not_kept")
    assert [again[name] for name in names] == [receipt[name] for name in names]


async def test_a_200_mb_line_and_a_gzip_bomb_in_bounded_memory(ingest: Harness) -> None:
    async def long_line() -> AsyncIterator[bytes]:
        yield lines(contact("c-1")) + b'\n{"ContactId": "'
        for _ in range(3200):
            yield b"x" * (1 << 16)
        yield b'"}\n' + lines(contact("c-2"))

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(lines(contact("c-3")) + b"\n")
    bomb += b"".join(packer.compress(b"0" * (1 << 20)) for _ in range(300)) + packer.flush()
    client = ingest.client_as("robot", "t1")
    await client.post(RECORDS, content=lines(contact("c-0")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = (await client.post(RECORDS, content=long_line(), timeout=60)).json()
    second = (await client.post(RECORDS, content=bomb, timeout=60)).json()
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert (first["received"], first["accepted"], first["rejected"]) == (3, 2, 1)
    assert first["problems"][0]["line"] == 2
    assert (second["accepted"], second["rejected"]) == (1, 1)
    assert "times its size" in second["problems"][0]["reason"]
    assert grown_mb < 80


@pytest.mark.parametrize(
    "body,accepted,reason",
    [
        (lines(contact("c-1"), contact("c-2"))[:-20], 1, "not JSON"),
        (b"[" + json.dumps(contact("c-1")).encode() + b", {", 1, "ends in the middle"),
        (gzip.compress(lines(contact("c-1"), contact("c-2")) + b"\n")[:-4], 2, "ends before its end"),
        (b"", 0, "empty"),
        (b"\x89PNG....", 0, "an image"),
    ],
)
async def test_a_damaged_body_gives_a_receipt(ingest: Harness, body: bytes, accepted: int, reason: str) -> None:
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=body)).json()
    assert (receipt["accepted"], receipt["rejected"], receipt["status"]) == (accepted, 1, "done")
    assert reason in receipt["problems"][0]["reason"]
    assert receipt["problems"][0]["cure"]


async def test_csv_of_an_old_system_names_what_was_assumed(ingest: Harness) -> None:
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=MAPPING)
    body = "contact;started;agent;städt\r\n1;2026-03-02T09:00;ada;Köln\r\n".encode("latin-1")
    receipt = (await ingest.client_as("robot", "t1").post("/sources/calls/records", content=body)).json()
    assert receipt["accepted"] == 1
    assert receipt["notes"] == [
        "The columns are separated by ';'.",
        "2 lines were not UTF-8 and were read as Windows-1252.",
    ]


@both_stores
async def test_a_body_of_several_chunks_and_its_raw_documents(ingest: Harness) -> None:
    body = json.dumps([contact(f"c-{n}") for n in range(105)]).encode()
    receipt = (await ingest.client_as("robot", "t1").post(RECORDS, content=gzip.compress(body), timeout=60)).json()
    assert (receipt["received"], receipt["accepted"], receipt["status"]) == (105, 105, "done")
    stored = await ingest.context.documents.find("t1", archive.RAW, {"receipt": receipt["id"]})
    assert [each.body["records"] for each in stored] == [50, 50, 5]
    assert json.loads(archive.unpack_raw_text(stored[2], 4)) == contact("c-104")
    assert await ingest.rows("t1", "SELECT count(*) AS n FROM due_item WHERE kind <> 'sweep'") == [{"n": 0}]
    assert len(await ingest.read_events(LegRecorded)) == 105


async def test_respond_async_keeps_the_body_and_the_clock_reads_it(ingest: Harness) -> None:
    client = ingest.client_as("robot", "t1")
    answer = await client.post(RECORDS, content=lines(contact(), analysis()), headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    assert answer.headers["location"] == f"/api/ingest/v1/receipts/{answer.json()['id']}"
    assert await ingest.read_events(LegRecorded) == []
    await ingest.tick(datetime.now(UTC) + timedelta(minutes=1))
    receipt = (await ingest.client_as("quinn", "t1").get(f"/receipts/{answer.json()['id']}")).json()
    assert (receipt["status"], receipt["accepted"]) == ("done", 2)
    assert len(await ingest.read_events(LegRecorded)) == 1
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == []


def _order(harness: Harness, **changes: Any) -> Upload:
    from contracts import new_id
    from ingest.model.sources import SourceSpec

    source = build_source("connect", SourceSpec(vendor="amazon-connect"))
    return Upload("t1", new_id(), source, "live", person_id("robot"), datetime.now(UTC), **changes)


async def test_a_sender_who_breaks_off_leaves_what_was_judged(ingest: Harness) -> None:
    reception = ingest.running.parts.state
    body = lines(*(contact(f"c-{n}") for n in range(75)))

    async def broken() -> AsyncIterator[bytes]:
        yield body
        raise ConnectionResetError

    order = _order(ingest)
    with pytest.raises(ConnectionResetError):
        await reception.judge_upload(order, broken())
    client = ingest.client_as("robot", "t1")
    receipt = (await client.get(f"/receipts/{order.receipt_id}")).json()
    assert (receipt["status"], receipt["accepted"]) == ("interrupted", 50)
    again = (await client.post(RECORDS, content=body, timeout=60)).json()
    assert (again["received"], again["accepted"], again["unchanged"]) == (75, 25, 50)
    assert len(await ingest.read_events(LegRecorded)) == 75


@both_stores
async def test_a_spooled_body_is_resumed_after_its_process_died(ingest: Harness) -> None:
    reception = ingest.running.parts.state
    body = lines(*(contact(f"c-{n}") for n in range(125)))
    client = ingest.client_as("robot", "t1")
    answer = (await client.post(RECORDS, content=body, headers={"prefer": "respond-async"})).json()
    judge, calls = reception._judge_chunk, []

    async def dies(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("killed")
        await judge(*args, **kwargs)

    reception._judge_chunk = dies
    assert await ingest.tick(datetime.now(UTC) + timedelta(minutes=1)) == 0
    assert (await client.get(f"/receipts/{answer['id']}")).json()["received"] == 50
    del reception._judge_chunk
    await ingest.tick(datetime.now(UTC) + timedelta(minutes=10))
    receipt = (await client.get(f"/receipts/{answer['id']}")).json()
    assert (receipt["status"], receipt["received"], receipt["accepted"]) == ("done", 125, 125)
    assert {leg.version for leg in await ingest.read_events(LegRecorded)} == {1}


async def test_an_abandoned_receipt_is_marked_and_its_leftovers_are_swept(ingest: Harness) -> None:
    ingest.sweep_young_documents()
    reception = ingest.running.parts.state
    order = _order(ingest)
    async with ingest.context.sessions.begin(["t1"], now=order.now) as session:
        await reception.insert_receipt(session, order, "reading")
        await session.schedule("abandoned", str(order.receipt_id), order.now)
    from ingest.model.payload import Record

    orphan = archive.pack_records(order.receipt_id, [Record(1, 1, "{}", {})])
    await ingest.context.documents.put("t1", archive.RAW, [orphan])
    piece = Document(f"{order.receipt_id}-{0:06d}", {"receipt": str(order.receipt_id)}, b"{}")
    await ingest.context.documents.put("t1", archive.SPOOL, [piece])
    await ingest.tick(datetime.now(UTC) + timedelta(days=2))
    client = ingest.client_as("robot", "t1")
    assert (await client.get(f"/receipts/{order.receipt_id}")).json()["status"] == "reading"
    assert await ingest.context.documents.find("t1", archive.RAW, {}) == [orphan], "it may still be named"
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == [piece]
    await ingest.rows("t1", "UPDATE receipt SET touched_at = now() - interval '1 day' RETURNING id")
    await ingest.tick(datetime.now(UTC) + timedelta(days=2, hours=2))
    await ingest.rows("t1", "UPDATE due_item SET body = '{}' WHERE kind = 'sweep' RETURNING ref")
    await ingest.tick(datetime.now(UTC) + timedelta(days=5))
    assert (await client.get(f"/receipts/{order.receipt_id}")).json()["status"] == "interrupted"
    assert await ingest.context.documents.find("t1", archive.RAW, {}) == []
    assert await ingest.context.documents.find("t1", archive.SPOOL, {}) == []


async def test_uploads_at_the_same_time_agree(ingest: Harness) -> None:
    """Four senders post the same transferred calls, shuffled: one leg each, whatever the interleaving."""
    second = [
        contact(f"d-{n}", "ben", InitialContactId=f"c-{n}", PreviousContactId=f"c-{n}", InitiationMethod="TRANSFER",
                InitiationTimestamp="2026-03-02T08:00:20Z")
        for n in range(40)
    ]  # fmt: skip
    records = [*(contact(f"c-{n}") for n in range(40)), *second, *(analysis(f"d-{n}") for n in range(40))]
    client = ingest.client_as("robot", "t1")
    shuffled = [records[start::3] + records[(start + 1) % 3 :: 3] + records[(start + 2) % 3 :: 3] for start in range(3)]
    answers = await asyncio.gather(*(client.post(RECORDS, content=lines(*each)) for each in shuffled))
    assert [answer.status_code for answer in answers] == [200] * 3
    newest = {(leg.interaction_id, leg.leg): leg for leg in await ingest.read_events(LegRecorded)}
    assert len(newest) == 80
    assert not any(leg.void for leg in newest.values())
    assert {(leg.leg, leg.silence_vendor_ms) for leg in newest.values()} == {(1, None), (2, 170_000)}


_MANY = [f"m-{number}" for number in range(locks.MAX_SINGLE_LOCKS)]


@pytest.mark.parametrize(
    "held,wanted,waits",
    [
        (["c-1"], ["c-2"], False),
        (["c-1"], ["c-2", "c-1"], True),
        (["c-1", *_MANY], ["c-1"], True),
        (["c-1"], ["c-1", *_MANY], True),
        (["c-1", *_MANY], ["c-1", *_MANY], True),
    ],
)
async def test_a_merge_waits_for_another_where_they_share_a_call(
    ingest: Harness, held: list[str], wanted: list[str], waits: bool
) -> None:
    begin = ingest.context.sessions.begin
    async with begin(["t1"], now=ingest.now) as one:
        await locks.lock_contacts(one, "connect", held)
        with pytest.raises(OperationalError) if waits else nullcontext():
            async with begin(["t1"], now=ingest.now) as two:
                await two.run("SET LOCAL lock_timeout = '50ms'")
                await locks.lock_contacts(two, "connect", wanted)


async def test_who_may_send_and_read(ingest: Harness) -> None:
    assert (await ingest.client(None).post(RECORDS, content=b"{}")).status_code == 401
    for who in ("ada", "lea", "quinn"):
        assert (await ingest.client_as(who, "t1").post(RECORDS, content=b"{}")).status_code == 403
        assert (
            await ingest.client_as(who, "t1").put("/sources/x", json={"vendor": "amazon-connect"})
        ).status_code == 403
    for path in ("/receipts", "/sources", "/sources/connect", "/sources/connect/held"):
        assert (await ingest.client_as("ada", "t1").get(path)).status_code == 403
        assert (await ingest.client_as("quinn", "t1").get(path)).status_code == 200


async def test_refusals_of_the_door(ingest: Harness) -> None:
    client = ingest.client_as("robot", "t1")
    assert (await client.post("/sources/none/records", content=b"{}")).status_code == 404
    assert (await client.post(RECORDS, content=b"{}", headers={"content-encoding": "br"})).status_code == 422
    assert (await client.post(RECORDS, content=b"{}", headers={"content-length": str(2 << 30)})).status_code == 413
    reception = ingest.running.parts.state
    reception._active_uploads["t1"] = 4
    busy = await client.post(RECORDS, content=b"{}")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
    del reception._active_uploads["t1"]
    await configure_source(ingest, "t1", status="paused")
    assert (await client.post(RECORDS, content=b"{}")).status_code == 409


async def test_an_idempotency_key_gives_the_same_receipt(ingest: Harness) -> None:
    client = ingest.client_as("robot", "t1")
    first = await client.post(RECORDS, content=lines(contact()), headers={"idempotency-key": "k"})
    again = await client.post(RECORDS, content=lines(contact()), headers={"idempotency-key": "k"})
    assert first.json() == again.json()
    assert len((await client.get("/receipts")).json()["items"]) == 1


@pytest.mark.parametrize("prefer", ["", "respond-async"])
async def test_an_idempotency_key_is_of_one_request(ingest: Harness, prefer: str) -> None:
    client = ingest.client_as("robot", "t1")
    headers = {"idempotency-key": "k", "prefer": prefer}
    first = (await client.post(RECORDS, content=lines(contact()), headers=headers)).json()
    for path, body in ((RECORDS, lines(contact("c-2"))), (f"{RECORDS}?mode=history", lines(contact()))):
        other = await client.post(path, content=body, headers=headers)
        assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (422, "idempotency-key-reused")
    await ingest.tick(datetime.now(UTC) + timedelta(minutes=1))
    again = (await client.post(RECORDS, content=lines(contact()), headers=headers)).json()
    assert (again["id"], again["accepted"]) == (first["id"], 1)
    assert len((await client.get("/receipts")).json()["items"]) == 1


async def test_a_small_body_is_one_transaction_of_few_statements(ingest: Harness) -> None:
    """Whoever sends call by call waits for each of them, and so does everybody on the same machine."""
    client = ingest.client_as("robot", "t1")
    await client.post(RECORDS, content=lines(contact("c-0")))  # the first one of a process has more to do
    counts: Counter[str] = Counter()
    for name, kind in (("before_cursor_execute", "statements"), ("commit", "commits")):
        listen(ingest.context.sessions.engine.sync_engine, name, lambda *_, kind=kind, **__: counts.update([kind]))
    await client.post(RECORDS, content=lines(contact(), analysis()))
    # Who sends; the raw document, which has a store of its own; the records with all that follows from them.
    assert counts["commits"] <= 3, counts
    assert counts["statements"] <= 13, counts


async def test_a_blueprint_brings_sources_whole_or_not_at_all(ingest: Harness) -> None:
    wanted = {"source": "calls", "vendor": "generic", "title": "Calls", "mapping": MAPPING}
    await ingest.deliver(BlueprintPublished(version=3, sections={"ingest": {"sources": [wanted]}}), tenant="t1")
    applied = (await ingest.read_events(SectionApplied))[-1]
    assert applied.version == 3
    assert [each["source"] for each in applied.content["sources"]] == ["calls", "connect"]
    assert applied.content["sources"][0]["mapping"] == MAPPING
    again = applied.content
    await ingest.deliver(BlueprintPublished(version=4, sections={"ingest": again}), tenant="t1")
    assert (await ingest.read_events(SectionApplied))[-1].content == again
    broken = {"sources": [{"source": "new", "vendor": "amazon-connect"}, wanted | {"mapping": {"fields": {}}}]}
    await ingest.deliver(BlueprintPublished(version=5, sections={"ingest": broken}), tenant="t1")
    rejected = (await ingest.read_events(SectionRejected))[-1]
    assert [each.pointer for each in rejected.problems] == ["/sources/1/mapping/fields/contact"]
    slugs = [each["source"] for each in (await ingest.client_as("theo", "t1").get("/sources")).json()["items"]]
    assert slugs == ["calls", "connect"]


async def test_an_older_blueprint_changes_no_source(ingest: Harness) -> None:
    def blueprint(version: int, title: str) -> BlueprintPublished:
        source = {"source": "connect", "vendor": "amazon-connect", "title": title}
        return BlueprintPublished(version=version, sections={"ingest": {"sources": [source]}})

    await ingest.deliver(blueprint(3, "New"), tenant="t1")
    await ingest.deliver(blueprint(2, "Old"), tenant="t1")
    assert (await ingest.client_as("theo", "t1").get("/sources/connect")).json()["title"] == "New"


async def test_sources_show_their_health_and_refuse_nonsense(ingest: Harness) -> None:
    client = ingest.client_as("theo", "t1")
    await client.post(RECORDS, content=lines(contact(), contact("c-2", "eve"), {"ContactId": "x"}))
    view = (await client.get("/sources/connect")).json()
    assert view["health"]["received"] == 3
    assert view["health"]["share_rejected"] == pytest.approx(1 / 3, abs=1e-4)
    assert view["health"]["held_now"] == {"unknown_agent": 1}
    for spec, pointer in (
        ({"vendor": "generic"}, "/mapping"),
        ({"vendor": "generic", "mapping": {"fields": {"colour": {}}}}, "/mapping/fields/colour"),
        ({"vendor": "amazon-connect", "options": {"time_zone": "Mars"}}, "/options/time_zone"),
        ({"vendor": "amazon-connect", "options": {"channels": {"FAX": "fax"}}}, "/options/channels/FAX"),
    ):
        answer = await client.put("/sources/new", json=spec)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await client.put("/sources/connect", json={"vendor": "generic", "mapping": MAPPING})).status_code == 409
    assert (await client.put("/sources/Not a slug", json={"vendor": "amazon-connect"})).status_code == 422
