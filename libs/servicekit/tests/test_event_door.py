"""A batch of messages is one transaction, together with the reader's new offset."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from contracts import derived_id
from contracts.assignments import AssignmentAssigned
from contracts.legs import LegRecorded
from contracts.scores import BandEntered
from messaging.broker import Message, TopicPartition
from messaging.consumer import Fenced, OffsetStep
from servicekit.errors import Unavailable
from testkit import Harness, person


def band(name: str, kpi: str = "silence_pct") -> BandEntered:
    stay = derived_id(name)
    return BandEntered.model_validate({**BandEntered.example, "band_event_id": stay, "kpi": kpi})


def leg(name: str) -> LegRecorded:
    return LegRecorded.model_validate({**LegRecorded.example, "external_id": name})


class Reading:
    """One reader at the door of a topic, as the consumer loop would be it."""

    def __init__(self, notes: Harness, topic: str) -> None:
        self.notes = notes
        self.door = notes.running.doors[topic]
        self.partition = TopicPartition(topic, 0)

    async def at(self) -> int:
        return await self.door.load_next_offset("training", self.partition)

    def step(self, expected: int, to: int) -> OffsetStep:
        return OffsetStep("training", self.partition, expected, to)

    async def apply(self, messages: Sequence[Message]) -> None:
        await self.door.apply(messages, [self.step(await self.at(), messages[-1].offset + 1)])

    async def bury(self, message: Message, error: Exception) -> None:
        await self.door.bury(message, error, self.step(await self.at(), message.offset + 1))


async def effects(notes: Harness, tenant: str = "acme") -> dict[str, int]:
    """How many effects each one saw when it was made, by what made it."""
    return {row["ref"]: row["seen"] for row in await notes.rows(tenant, "SELECT ref, seen FROM effect")}


async def letters(notes: Harness, tenant: str = "acme") -> list[dict[str, Any]]:
    return await notes.rows(tenant, "SELECT * FROM dead_letter ORDER BY id")


async def test_effect_event_and_offset_are_one(notes: Harness) -> None:
    reading = Reading(notes, "bands")
    await reading.apply([notes.message(band("a"), tenant="acme"), notes.message(band("b"), tenant="acme")])
    assert set(await effects(notes)) == {str(derived_id("a")), str(derived_id("b"))}
    assert len(await notes.read_events(AssignmentAssigned)) == 2
    assert await reading.at() == 2


async def test_a_stale_reader_changes_nothing(notes: Harness) -> None:
    reading = Reading(notes, "bands")
    first = notes.message(band("a"), tenant="acme")
    await reading.apply([first])
    for expected in (0, 2, 99):
        with pytest.raises(Fenced):
            await reading.door.apply([notes.message(band("b"), tenant="acme")], [reading.step(expected, expected + 1)])
        with pytest.raises(Fenced):
            await reading.door.bury(first, ValueError("x"), reading.step(expected, expected + 1))
    assert set(await effects(notes)) == {str(derived_id("a"))}
    assert await letters(notes) == []
    assert await reading.at() == 1


async def test_a_step_that_stands_still_is_checked_too(notes: Harness) -> None:
    reading = Reading(notes, "bands")
    message = notes.message(band("a"), tenant="acme")
    await reading.apply([message])
    await reading.door.apply([message], [reading.step(1, 1)])
    with pytest.raises(Fenced):
        await reading.door.apply([message], [reading.step(0, 0)])


async def test_a_failing_message_takes_its_whole_batch_back(notes: Harness) -> None:
    reading = Reading(notes, "bands")
    batch = [notes.message(band("a"), tenant="acme"), notes.message(band("b", "poison"), tenant="acme")]
    with pytest.raises(ValueError, match="cannot be handled"):
        await reading.apply(batch)
    assert await effects(notes) == {}
    assert await notes.read_events(AssignmentAssigned) == []
    assert await reading.at() == 0


async def test_one_message_at_a_time_sees_its_own_tenant_only(notes: Harness) -> None:
    batch = [
        notes.message(band("a"), tenant="acme"),
        notes.message(band("z"), tenant="zeta"),
        notes.message(band("b"), tenant="acme"),
    ]
    await Reading(notes, "bands").apply(batch)
    assert await effects(notes) == {str(derived_id("a")): 0, str(derived_id("b")): 1}
    assert await effects(notes, "zeta") == {str(derived_id("z")): 0}
    emitted = [attributes.tenant for attributes, _ in await notes.read_outbox()]
    assert emitted == ["acme", "acme", "zeta"], "tenant by tenant"


async def test_a_batch_sees_the_tenants_it_holds_and_no_others(notes: Harness) -> None:
    reading = Reading(notes, "legs")
    await reading.apply([notes.message(leg("a"), tenant="acme")])
    await reading.apply([notes.message(leg("z"), tenant="zeta")])
    await reading.apply([notes.message(leg("b"), tenant="acme"), notes.message(leg("y"), tenant="zeta")])
    assert await effects(notes) == {"a": 0, "b": 2}
    assert await effects(notes, "zeta") == {"z": 0, "y": 3}


async def test_what_is_emitted_names_its_cause_and_the_events_time(notes: Harness) -> None:
    message = notes.message(band("a"), tenant="acme")
    await Reading(notes, "bands").apply([message])
    ((attributes, _),) = await notes.read_outbox()
    assert str(attributes.causationid) == message.headers["ce_id"]
    assert str(attributes.correlationid) == message.headers["ce_correlationid"]
    assert attributes.time == notes.now


async def test_types_without_a_handler_and_from_the_future_are_passed_over(notes: Harness) -> None:
    known = notes.message(band("a"), tenant="acme")
    future = replace(known, headers={**known.headers, "ce_type": "band.painted"}, value=b"?")
    for topic in ("bands", "legs"):
        reading = Reading(notes, topic)
        await reading.apply([future])
        assert await reading.at() == 1
    assert await effects(notes) == {}


async def test_the_copy_of_the_directory_is_there_before_the_handler(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", people=[person("new")])
    assert "person new" in await effects(own_notes)


# What cannot be handled


async def bury_poison(notes: Harness) -> Message:
    reading = Reading(notes, "bands")
    message = notes.message(band("p", "poison"), tenant="acme")
    with pytest.raises(ValueError, match="cannot be handled") as failed:
        await reading.apply([message])
    await reading.bury(message, failed.value)
    return message


async def test_poison_is_buried_whole(notes: Harness) -> None:
    message = await bury_poison(notes)
    (row,) = await letters(notes)
    assert (row["topic"], row["partition"], row["offset"], row["key"]) == ("bands", 0, 0, message.key)
    assert (row["headers"], row["value"]) == (message.headers, message.value)
    assert row["error"] == "ValueError: this one cannot be handled"
    assert "on_band_entered" in row["traceback"]
    assert row["replayed_at"] is None
    assert await Reading(notes, "bands").at() == 1


async def test_a_message_that_is_no_event_at_all_can_be_buried(notes: Harness) -> None:
    for number, (headers, key, value) in enumerate(
        [
            ({}, "k", b"\xff\xfe"),
            ({"ce_tenant": "a,b", "ce_type": "x"}, "k", None),
            ({"ce_tenant": "nul\x00", "odd\x00": "\ud800"}, "key\x00\ud800", b"\x00"),
        ]
    ):
        reading = Reading(notes, "bands")
        message = Message("bands", 0, number, key, value, headers, notes.now)
        with pytest.raises(ValueError) as failed:
            await reading.apply([message])
        await reading.bury(message, failed.value)
    rows = await letters(notes, "platform")
    assert [row["value"] for row in rows] == [b"\xff\xfe", None, b"\x00"]


async def test_an_event_in_the_name_of_two_tenants_opens_neither(notes: Harness) -> None:
    known = notes.message(band("a"), tenant="acme")
    with pytest.raises(ValueError, match="names of tenants"):
        await Reading(notes, "bands").apply([replace(known, headers={**known.headers, "ce_tenant": "acme,zeta"})])


async def test_a_body_that_breaks_its_contract_is_poison(notes: Harness) -> None:
    known = notes.message(band("a"), tenant="acme")
    for value in (b"", b"null", b"{}", b"[", json.dumps({"agent_id": "x"}).encode()):
        with pytest.raises(ValueError):
            await Reading(notes, "bands").apply([replace(known, value=value)])


# Dead letters over HTTP


async def test_dead_letters_are_listed_to_admins_of_their_tenant(notes: Harness) -> None:
    message = await bury_poison(notes)
    found = (await notes.client_as("root", "acme").get("/dead-letters")).json()
    (item,) = found["items"]
    assert message.value is not None
    assert (item["key"], item["value"], item["headers"]) == (message.key, message.value.decode(), message.headers)
    assert (await notes.client_as("zoe", "zeta").get("/dead-letters")).json()["items"] == []
    assert (await notes.client_as("zoe", "zeta").get("/dead-letters?tenant=acme")).status_code == 403
    assert (await notes.client_as("ada", "acme").get("/dead-letters")).status_code == 403


async def letter_id(notes: Harness) -> str:
    return str((await letters(notes))[0]["id"])


async def test_replay_reaches_this_reader_once_the_cause_is_mended(notes: Harness) -> None:
    await bury_poison(notes)
    notes.running.parts.state.poison = False
    path = f"/dead-letters/{await letter_id(notes)}/replay"
    root = notes.client_as("root", "acme")
    answer = await root.post(path)
    assert answer.status_code == 200
    assert answer.json()["replayed_at"]
    assert set(await effects(notes)) == {str(derived_id("p"))}
    emitted = await notes.read_outbox()
    told = [body.type for _, body in emitted]
    assert told == ["assignment.assigned", "configuration.changed"], "nothing goes back to the topic"
    assert await Reading(notes, "bands").at() == 1, "the offset stays"
    assert (await root.post(path)).status_code == 409
    assert len(await notes.read_outbox()) == len(told)
    assert (await root.get("/dead-letters")).json()["items"] == []
    assert len((await root.get("/dead-letters?replayed=true")).json()["items"]) == 1


async def test_what_is_still_poison_stays_buried(notes: Harness) -> None:
    await bury_poison(notes)
    answer = await notes.client_as("root", "acme").post(f"/dead-letters/{await letter_id(notes)}/replay")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:still-poison")
    assert "cannot be handled" in answer.json()["detail"]
    assert await effects(notes) == {}
    assert (await letters(notes))[0]["replayed_at"] is None


async def test_a_replay_that_meets_a_passing_failure_says_try_again(
    notes: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury_poison(notes)

    async def away(*_: Any) -> None:
        raise Unavailable("elsewhere-away", "Not now.", retry_after=1)

    monkeypatch.setattr(notes.running.doors["bands"], "handle", away)
    answer = await notes.client_as("root", "acme").post(f"/dead-letters/{await letter_id(notes)}/replay")
    assert answer.status_code == 503


async def test_nobody_replays_a_letter_of_another_tenant(notes: Harness) -> None:
    await bury_poison(notes)
    path = f"/dead-letters/{await letter_id(notes)}/replay"
    assert (await notes.client_as("zoe", "zeta").post(path)).status_code == 404
    assert (await notes.client_as("zoe", "zeta").post(f"{path}?tenant=acme")).status_code == 403
    assert (await notes.client_as("ada", "acme").post(path)).status_code == 403


async def test_the_cursor_of_another_list_is_the_callers_mistake(notes: Harness) -> None:
    for text in ("a", "b"):
        await notes.client_as("root", "acme").post("/notes", json={"text": text})
    other = (await notes.client_as("root", "acme").get("/notes?limit=1")).json()["next"]
    answer = await notes.client_as("root", "acme").get("/dead-letters", params={"after": other})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:bad-cursor")


async def test_another_tenants_letters_need_an_admin_of_the_platform_itself(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", people=[person("sly", roles=["platform_admin"])])
    await own_notes.apply_directory("platform", people=[person("ops", roles=["platform_admin"])])
    assert (await own_notes.client_as("sly", "acme").get("/dead-letters?tenant=zeta")).status_code == 403
    assert (await own_notes.client_as("ops", "platform").get("/dead-letters?tenant=acme,zeta")).status_code == 404


async def test_a_platform_admin_may_name_the_tenant(own_notes: Harness) -> None:
    await own_notes.apply_directory("platform", people=[person("ops", roles=["platform_admin"])])
    await bury_poison(own_notes)
    own_notes.running.parts.state.poison = False
    ops = own_notes.client_as("ops", "platform")
    assert (await ops.get("/dead-letters")).json()["items"] == []
    assert len((await ops.get("/dead-letters?tenant=acme")).json()["items"]) == 1
    answer = await ops.post(
        f"/dead-letters/{await letter_id(own_notes)}/replay?tenant=acme", headers={"idempotency-key": "k"}
    )
    assert answer.status_code == 200
    assert set(await effects(own_notes)) == {str(derived_id("p"))}
