"""Large receipts are undone and replayed in steps: the request does the first, the clock door the others."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from contracts.legs import LegRecorded
from ingest.actions import replay, undo
from ingest_records import agent_event, configure_source, contact
from testkit import Harness


class Killed(BaseException):
    """What ends a process between two of its transactions, or in the middle of one."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "RECORDS_PER_STEP", 20)
    monkeypatch.setattr(undo, "AGENTS_PER_STEP", 1)
    monkeypatch.setattr(undo, "DRY_RUN_STEPS", 2)


def calls(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [contact(f"c-{number}") for number in range(first, first + count)]


def killed_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, times: Iterator[bool]) -> None:
    """The process dies when it calls `name`, each time that `times` yields True."""
    real = getattr(module, name)

    async def dies(*args: Any, **named: Any) -> Any:
        found = await real(*args, **named)
        if next(times, False):
            raise Killed
        return found

    monkeypatch.setattr(module, name, dies)


async def send(harness: Harness, *records: Any, source: str = "connect") -> Any:
    body = records[0] if isinstance(records[0], bytes) else "\n".join(json.dumps(record) for record in records).encode()
    answer = await harness.client_as("robot", "t1").post(f"/sources/{source}/records", content=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def tick(ingest: Harness) -> None:
    await ingest.tick(datetime.now(UTC))


async def status_of(ingest: Harness, receipt: dict[str, Any]) -> str:
    return (await ingest.client_as("theo", "t1").get(f"/receipts/{receipt['id']}")).json()["status"]


async def standing(ingest: Harness) -> set[str]:
    newest = {leg.external_id: leg for leg in await ingest.read_events(LegRecorded)}
    return {name for name, leg in newest.items() if not leg.void}


async def test_a_large_receipt_is_undoing_until_the_clock_has_undone_it(ingest: Harness) -> None:
    other = await send(ingest, *calls(5))
    receipt = await send(ingest, *calls(50))
    theo, path = ingest.client_as("theo", "t1"), f"/receipts/{receipt['id']}"
    before = len(await ingest.read_outbox())
    looked = (await theo.delete(path, params={"dry_run": True})).json()
    assert (looked["records"], looked["complete"], looked["status"]) == (35, False, "done")
    assert len(await ingest.read_outbox()) == before
    begun = await theo.delete(path)
    assert begun.status_code == 202
    assert (begun.json()["status"], begun.json()["complete"], begun.json()["records"]) == ("undoing", False, 15)
    assert await status_of(ingest, receipt) == "undoing"
    again = await theo.delete(path)
    assert (again.status_code, again.json()) == (202, begun.json())
    assert (await theo.post(path + "/replay")).status_code == 409
    await tick(ingest)
    assert await status_of(ingest, receipt) == "undone"
    assert await standing(ingest) == {f"c-{number}" for number in range(5)}
    assert await status_of(ingest, other) == "done"
    done = await theo.delete(path)
    assert (done.status_code, done.json()["records"], done.json()["status"]) == (200, 0, "undone")
    voids = [leg.external_id for leg in await ingest.read_events(LegRecorded) if leg.void]
    assert sorted(voids) == sorted({f"c-{number}" for number in range(5, 50)})  # each once


async def test_an_undo_goes_on_behind_what_was_done_when_its_process_was_killed(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await send(ingest, *calls(100))
    await ingest.client_as("theo", "t1").delete(f"/receipts/{receipt['id']}")
    assert len(await standing(ingest)) == 80
    with monkeypatch.context() as patched:
        killed_at(patched, undo, "_step_and_store", iter([False, True]))
        with pytest.raises(Killed):
            await tick(ingest)
    assert len(await standing(ingest)) == 60
    await ingest.rows("t1", "UPDATE due_item SET leased_until = now() - interval '1 second' RETURNING ref")
    await tick(ingest)
    assert (await status_of(ingest, receipt), await standing(ingest)) == ("undone", set())
    assert len([leg for leg in await ingest.read_events(LegRecorded) if leg.void]) == 100


async def test_a_record_that_arrives_again_during_its_undo_stays(ingest: Harness) -> None:
    receipt = await send(ingest, *calls(50))
    await ingest.client_as("theo", "t1").delete(f"/receipts/{receipt['id']}")
    await send(ingest, *calls(50))
    await tick(ingest)
    assert await status_of(ingest, receipt) == "undone"
    assert await standing(ingest) == {f"c-{number}" for number in range(50)}


async def test_two_receipts_that_are_undone_at_the_same_time_do_not_keep_each_others_records(ingest: Harness) -> None:
    receipts = [await send(ingest, *calls(50)) for _ in range(2)]
    for each in receipts:
        assert (await ingest.client_as("theo", "t1").delete(f"/receipts/{each['id']}")).status_code == 202
    await tick(ingest)
    assert await standing(ingest) == set()


async def test_the_states_of_many_agents_are_undone_in_steps(ingest: Harness) -> None:
    notices = [
        agent_event("2026-03-02T09:00:00Z", "Lunch", "2026-03-02T08:59:00Z", agent=who) for who in ("ada", "ben")
    ]
    receipt = await send(ingest, *notices)
    path = f"/receipts/{receipt['id']}"
    begun = await ingest.client_as("theo", "t1").delete(path)
    assert (begun.status_code, begun.json()["states_changed"]) == (202, 1)
    await tick(ingest)
    assert await status_of(ingest, receipt) == "undone"
    assert await ingest.rows("t1", "SELECT agent FROM agent_state WHERE NOT void") == []


def rows(count: int, talk: str = "5") -> bytes:
    lines = [f"{number};2026-03-02 09:00;ada;{talk}" for number in range(count)]
    return "\n".join(["id;start;agent;talk", *lines]).encode()


def mapping(unit: str) -> dict[str, Any]:
    return {
        "time_zone": "Europe/Berlin", "time_format": "%Y-%m-%d %H:%M",
        "fields": {
            "contact": {"from": "id"}, "started": {"from": "start"}, "agent": {"from": "agent"},
            "channel": {"value": "voice"}, "direction": {"value": "inbound"}, "talk_ms": {"from": "talk", "unit": unit},
            "hold_ms": {"value": 0}, "acw_ms": {"value": 0},
        },
    }  # fmt: skip


async def test_a_large_receipt_is_replaying_until_the_clock_has_read_it(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=mapping("s"))
    receipt = await send(ingest, rows(170), source="calls")
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=mapping("min"))
    theo, path = ingest.client_as("theo", "t1"), f"/receipts/{receipt['id']}"
    begun = await theo.post(path + "/replay")
    assert (begun.status_code, begun.json()["status"]) == (202, "replaying")
    assert len([leg for leg in await ingest.read_events(LegRecorded) if leg.version == 2]) == 50
    again = await theo.post(path + "/replay")
    assert (again.status_code, again.json()["status"]) == (202, "replaying")
    refused = await theo.delete(path)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:uplift:problem:receipt-busy")
    with monkeypatch.context() as patched:
        killed_at(patched, replay, "_replay", iter([False, True]))
        with pytest.raises(Killed):
            await tick(ingest)
    assert await status_of(ingest, receipt) == "replaying"
    await ingest.rows("t1", "UPDATE due_item SET leased_until = now() - interval '1 second' RETURNING ref")
    await tick(ingest)
    assert await status_of(ingest, receipt) == "done"
    legs = await ingest.read_events(LegRecorded)
    assert len([leg for leg in legs if leg.version == 2]) == 170
    assert {leg.talk_ms for leg in legs if leg.version == 2} == {300_000}
    assert max(leg.version for leg in legs) == 2
    assert (await theo.delete(path)).status_code == 202
