"""Documents beside the database: a process that dies between the two writes, sizes, and where the content of a version lies."""

import asyncio
import gzip
import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from contracts.legs import LegRecorded
from ingest.actions import archive, leg_contents, undo
from ingest.service import service
from ingest_records import PEOPLE, configure_source, contact
from servicekit import wiring
from storage import create_engine
from testkit import Harness, org_unit
from testkit.fixtures.mongodb import both_stores
from testkit.kill_before_commit import kill_before_commit

RECORDS = "/sources/connect/records"
in_mongodb = pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)


async def talks(harness: Harness) -> list[int | None]:
    """What the versions of all legs say of the talk, read as a person reads them."""
    client = harness.client_as("quinn", "t1")
    found: list[int | None] = []
    for row in await harness.rows("t1", "SELECT id FROM interaction ORDER BY root"):
        answer = await client.get(f"/interactions/{row['id']}")
        assert answer.status_code == 200, answer.text
        found += [each["content"]["talk_ms"] for each in answer.json()["versions"]]
    return found


@in_mongodb
async def test_what_a_killed_process_left_behind_is_swept_and_the_rest_stays(ingest: Harness) -> None:
    documents = ingest.context.documents
    client = ingest.client_as("robot", "t1")
    body = "\n".join(json.dumps(contact(f"c-{number}")) for number in range(60))
    await kill_before_commit(ingest, "robot", "t1", "POST", RECORDS, content=body)
    orphans = await documents.find("t1", archive.RAW, {})
    assert [each.body.get("records", each.body.get("versions")) for each in orphans] == [60, 60], "no row knows of them"
    assert (await client.get("/receipts")).json()["items"] == []

    receipt = (await client.post(RECORDS, content=body)).json()
    assert (receipt["status"], receipt["accepted"]) == ("done", 60)
    await ingest.tick(datetime.now(UTC) + timedelta(days=2))
    assert len(await documents.find("t1", archive.RAW, {})) == 6, "the orphans are too young"
    ingest.sweep_young_documents()
    await ingest.tick(datetime.now(UTC) + timedelta(days=4))
    left = {each.id for each in await documents.find("t1", archive.RAW, {})}
    raw = {each.id for each in await documents.find("t1", archive.RAW, {"receipt": receipt["id"]})}
    named = {str(row["document"]) for row in await ingest.rows("t1", "SELECT document FROM leg_version")}
    assert left == raw | named
    assert (len(raw), len(named)) == (2, 2)
    assert left.isdisjoint(each.id for each in orphans)
    assert len(await talks(ingest)) == 60
    assert (await client.post(f"/receipts/{receipt['id']}/replay")).status_code < 300


def newer(talk: int, **changes: Any) -> dict[str, Any]:
    record = contact(LastUpdateTimestamp="2026-03-02T10:00:00Z", **changes)
    record["Agent"]["AgentInteractionDuration"] = talk
    return record


async def send(harness: Harness, *records: dict[str, Any]) -> dict[str, Any]:
    body = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    answer = await harness.client_as("robot", "t1").post(RECORDS, content=body.encode(), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@both_stores
async def test_a_version_older_than_its_document_is_read_from_its_row(ingest: Harness) -> None:
    """As it was written before contents were documents: shown, corrected, voided, undone."""
    first = await send(ingest, contact())
    (row,) = await ingest.rows("t1", "SELECT document FROM leg_version")
    (document,) = (await ingest.context.documents.get("t1", archive.RAW, [str(row["document"])])).values()
    content = gzip.decompress(document.blob or b"").decode()
    await ingest.rows("t1", "UPDATE leg_version SET document = NULL, position = NULL, content = cast(:c AS jsonb) "
                      "RETURNING leg", c=content)  # fmt: skip
    assert await talks(ingest) == [240_000]
    await send(ingest, newer(200))
    assert await talks(ingest) == [240_000, 200_000]
    client = ingest.client_as("theo", "t1")
    for receipt in (await client.get("/receipts")).json()["items"]:
        assert (await client.delete(f"/receipts/{receipt['id']}")).status_code == 200, first
    assert await talks(ingest) == [240_000, 200_000, 240_000, 240_000]
    assert [leg.void for leg in await ingest.read_events(LegRecorded)] == [False, False, False, True]


@both_stores
async def test_contents_are_cut_into_documents_and_what_is_too_large_stays_in_its_row(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leg_contents, "MAX_DOCUMENT_BYTES", 1500)
    large = contact("c-3", Attributes={f"name-{number}": "x" * 100 for number in range(20)})
    await send(ingest, contact("c-1"), contact("c-2"), large, contact("c-4"), contact("c-5"))
    rows = await ingest.rows("t1", "SELECT document, position, content IS NOT NULL AS here FROM leg_version")
    assert [row["here"] for row in rows].count(True) == 1
    assert len({row["document"] for row in rows} - {None}) > 1
    assert await talks(ingest) == [240_000] * 5


@both_stores
async def test_a_page_fetches_each_document_once(ingest: Harness) -> None:
    transferred = contact("c-9", "ben", InitialContactId="c-1", PreviousContactId="c-1", InitiationMethod="TRANSFER")
    await send(ingest, contact("c-1"), transferred)
    await send(ingest, newer(200))
    fetched_ids: list[str] = []
    documents: Any = ingest.context.documents
    get = documents.get

    async def counted(tenant: str, collection: str, ids: list[str]) -> Any:
        fetched_ids.extend(ids)
        return await get(tenant, collection, ids)

    documents.get = counted
    (found,) = (await ingest.client_as("lea", "t1").get("/interactions", params={"external_id": "c-1"})).json()["items"]
    assert len(found["legs"]) == 2
    assert len(fetched_ids) == len(set(fetched_ids)) == 2
    fetched_ids.clear()
    whole = (await ingest.client_as("lea", "t1").get(f"/interactions/{found['id']}")).json()
    assert len(whole["versions"]) == 3
    assert len(fetched_ids) == len(set(fetched_ids)) == 2


@both_stores
async def test_no_event_is_published_when_the_document_store_fails(ingest: Harness) -> None:
    async def away(*_: Any) -> None:
        raise ConnectionError("away")

    documents: Any = ingest.context.documents
    put, documents.put = documents.put, away
    answer = await ingest.client_as("robot", "t1").post(RECORDS, content=json.dumps(contact()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    documents.put = put
    assert await ingest.read_events(LegRecorded) == []
    assert (await ingest.client_as("robot", "t1").get("/receipts")).json()["items"] == []
    assert (await send(ingest, contact()))["accepted"] == 1


@both_stores
async def test_what_an_undo_has_written_its_next_step_can_read(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first step makes a version of the older record, its second one takes that back too."""
    monkeypatch.setattr(undo, "RECORDS_PER_STEP", 1)
    receipt = await send(ingest, newer(200), contact())
    documents: Any = ingest.context.documents
    put = documents.put

    async def slowly(*arguments: Any) -> None:
        await asyncio.sleep(0.3)  # sleep: a slow store
        await put(*arguments)

    documents.put = slowly
    assert (await ingest.client_as("theo", "t1").delete(f"/receipts/{receipt['id']}")).status_code == 202
    await ingest.tick(datetime.now(UTC))
    assert (await ingest.read_events(LegRecorded))[-1].void


@both_stores
async def test_uploads_side_by_side_do_not_starve_with_one_connection(
    harness_for: Callable[..., Awaitable[Harness]], mongodb_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writes documents while its transaction holds the connection."""
    monkeypatch.setattr(wiring, "create_engine", partial(create_engine, extra_pool_size=0, max_overflow=0))
    harness = await harness_for(service, mongodb_url=mongodb_url, database_pool=1)
    await harness.apply_directory("t1", people=PEOPLE, org_units=[org_unit("team-a")])
    await configure_source(harness, "t1")
    async with asyncio.timeout(20):
        receipts = await asyncio.gather(*(send(harness, contact(f"c-{number}")) for number in range(4)))
    assert [each["accepted"] for each in receipts] == [1] * 4


def noise(chance: random.Random, length: int) -> str:
    """Text that no compression makes small: any of a million characters, of four bytes each."""
    codes = bytearray(4 * length)
    codes[0::4], codes[1::4] = chance.randbytes(length), chance.randbytes(length)
    codes[2::4] = chance.randbytes(length).translate(bytes(1 + each % 16 for each in range(256)))
    return codes.decode("utf-32-le")


@in_mongodb
async def test_a_chunk_that_cannot_be_compressed_still_is_a_document(ingest: Harness) -> None:
    """A CSV row is stored twice: as it was received, and by its cells."""
    chance = random.Random(7)
    fields = {name: {"from": name} for name in ("contact", "started", "agent")} | {"channel": {"value": "voice"}}
    await configure_source(
        ingest, "t1", "calls", vendor="generic", mapping={"time_zone": "Europe/Berlin", "fields": fields}
    )
    rows = ["contact;started;agent;one;two"]
    for number in range(12):
        rows.append(f"{number};2026-03-02T09:00;ada;{noise(chance, 120_000)};{noise(chance, 120_000)}")
    answer = await ingest.client_as("robot", "t1").post("/sources/calls/records", content="\n".join(rows), timeout=60)
    assert answer.json()["accepted"] == 12, answer.text
    stored = await ingest.context.documents.find("t1", archive.RAW, {})
    assert len(stored) > 1
    assert max(len(each.blob or b"") for each in stored) > 8_000_000, "not so small that it shows nothing"


@in_mongodb
async def test_a_record_that_no_document_can_hold_is_refused_by_its_line_and_the_others_are_taken(
    ingest: Harness,
) -> None:
    ingest.running.parts.state.quota.record_mb = 64
    chance = random.Random(7)
    large = contact("c-2", Attributes={"language": "en"}, Notes=noise(chance, 3_000_000))
    larger = contact("c-3", Notes=noise(chance, 6_000_000))
    receipt = await send(ingest, contact("c-1"), large, larger, contact("c-4"))
    assert (receipt["accepted"], receipt["rejected"], receipt["status"]) == (3, 1, "done")
    (problem,) = receipt["problems"]
    assert (problem["number"], problem["line"]) == (3, 3)
    assert "at most 15,999,000" in problem["reason"]
    assert problem["cure"]
    again = (await ingest.client_as("theo", "t1").post(f"/receipts/{receipt['id']}/replay", timeout=60)).json()
    assert (again["accepted"], again["rejected"]) == (3, 1)
    assert len(await ingest.read_events(LegRecorded)) == 3
