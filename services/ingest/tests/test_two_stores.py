"""A process that dies between a document and its row, with the documents in MongoDB; what a chunk may weigh."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from ingest.actions import archive
from ingest_records import configured, contact
from storage import sweeping
from testkit import Harness
from testkit.killed_between import killed_between

RECORDS = "/sources/connect/records"
in_mongodb = pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)


@in_mongodb
async def test_what_a_killed_process_left_behind_is_swept_and_the_rest_stays(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = ingest.kit.documents
    client = ingest.as_("robot", "t1")
    body = "\n".join(json.dumps(contact(f"c-{number}")) for number in range(60))
    await killed_between(ingest, "robot", "t1", "POST", RECORDS, content=body)
    (orphan,) = await documents.find("t1", archive.RAW, {})
    assert orphan.body["records"] == 60, "of which no row knows"
    assert (await client.get("/receipts")).json()["items"] == []

    receipt = (await client.post(RECORDS, content=body)).json()
    assert (receipt["status"], receipt["accepted"]) == ("done", 60)
    await ingest.tick(datetime.now(UTC) + timedelta(days=2))
    assert len(await documents.find("t1", archive.RAW, {})) == 3, "the orphan is too young"
    monkeypatch.setattr(sweeping, "GRACE", timedelta(hours=-1))
    await ingest.tick(datetime.now(UTC) + timedelta(days=4))
    left = {each.id for each in await documents.find("t1", archive.RAW, {})}
    assert left == {each.id for each in await documents.find("t1", archive.RAW, {"receipt": receipt["id"]})}
    assert len(left) == 2
    assert orphan.id not in left
    assert (await client.post(f"/receipts/{receipt['id']}/replay")).status_code < 300


def noise(chance: random.Random, length: int) -> str:
    """Text that no compression makes small: any of a million characters, of four bytes each."""
    codes = bytearray(4 * length)
    codes[0::4], codes[1::4] = chance.randbytes(length), chance.randbytes(length)
    codes[2::4] = chance.randbytes(length).translate(bytes(1 + each % 16 for each in range(256)))
    return codes.decode("utf-32-le")


@in_mongodb
async def test_a_chunk_that_cannot_be_compressed_still_is_a_document(ingest: Harness) -> None:
    """A CSV row is kept as it came and by its cells: twice."""
    chance = random.Random(7)
    fields = {name: {"from": name} for name in ("contact", "started", "agent")} | {"channel": {"value": "voice"}}
    await configured(ingest, "t1", "calls", vendor="generic", mapping={"time_zone": "Europe/Berlin", "fields": fields})
    rows = ["contact;started;agent;one;two"]
    for number in range(12):
        rows.append(f"{number};2026-03-02T09:00;ada;{noise(chance, 120_000)};{noise(chance, 120_000)}")
    answer = await ingest.as_("robot", "t1").post("/sources/calls/records", content="\n".join(rows), timeout=60)
    assert answer.json()["accepted"] == 12, answer.text
    stored = await ingest.kit.documents.find("t1", archive.RAW, {})
    assert len(stored) > 1
    assert max(len(each.blob or b"") for each in stored) > 8_000_000, "not so small that it shows nothing"
