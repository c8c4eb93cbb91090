"""Records through the HTTP door: receipts, versions, events."""

import gzip
import json
from typing import Any

import pytest
from contracts.legs import AgentStateChanged, LegRecorded
from ingest_records import agent_event, analysis, configure_source, contact, event
from testkit import Harness, person, person_id

COUNTS = ("received", "accepted", "unchanged", "corrected", "held", "rejected")


async def send(
    harness: Harness, *records: Any, source: str = "connect", of: str = "t1", who: str = "robot", **params: Any
) -> Any:
    body = records[0] if isinstance(records[0], bytes) else "\n".join(json.dumps(record) for record in records).encode()
    answer = await harness.client_as(who, of).post(f"/sources/{source}/records", content=body, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts(receipt: dict[str, Any]) -> tuple[int, ...]:
    return tuple(receipt[name] for name in COUNTS)


async def legs(harness: Harness, of: str = "t1") -> list[tuple[int, int, bool]]:
    return [(leg.leg, leg.version, leg.void) for leg in await harness.read_events(LegRecorded, of)]


async def test_a_contact_and_its_analysis_become_one_leg(ingest: Harness) -> None:
    first = await send(ingest, contact())
    assert counts(first) == (1, 1, 0, 0, 0, 0)
    assert first["status"] == "done"
    assert counts(await send(ingest, analysis())) == (1, 1, 0, 0, 0, 0)
    one, two = await ingest.read_events(LegRecorded)
    assert (one.version, one.silence_vendor_ms, one.agent_id) == (1, None, person_id("ada"))
    assert (two.version, two.silence_vendor_ms, two.conversation_ms) == (2, 170_000, 260_000)
    assert two.gaps == [(1_000, 90_000), (100_000, 181_000)]
    assert (two.source, two.vendor, two.mode, two.external_id) == ("connect", "amazon-connect", "live", "c-1")
    assert str(two.workday) == "2026-03-02"
    assert two.model_dump(exclude={"version"})["handle_ms"] == 290_000


async def test_an_event_is_written_as_its_contract_writes_it(ingest: Harness) -> None:
    await send(ingest, contact(), analysis())
    (event,) = await ingest.read_events(LegRecorded)
    (row,) = await ingest.rows("t1", "SELECT value FROM outbox WHERE topic = 'legs'")
    assert json.loads(row["value"]) == json.loads(event.encode())


async def test_the_analysis_may_come_first_and_is_held(ingest: Harness) -> None:
    first = await send(ingest, analysis())
    assert counts(first) == (1, 0, 0, 0, 1, 0)
    assert first["problems"][0]["reason"] == "waiting_for_part"
    assert await ingest.read_events(LegRecorded) == []
    assert counts(await send(ingest, contact())) == (1, 1, 0, 0, 0, 0)
    (leg,) = await ingest.read_events(LegRecorded)
    assert (leg.version, leg.silence_vendor_ms) == (1, 170_000)
    again = await ingest.client_as("quinn", "t1").get(f"/receipts/{first['id']}")
    assert counts(again.json()) == (1, 1, 0, 0, 0, 0)


async def test_the_same_file_again_changes_nothing(ingest: Harness) -> None:
    records = [contact("c-1"), analysis("c-1"), contact("c-2", "ben"), contact("c-3", None), event("QUEUED", "c-4")]
    records.append(
        agent_event(
            "2026-03-02T09:00:00Z", "Lunch", "2026-03-02T08:59:00Z", before=("Available", "2026-03-02T08:00:00Z")
        )
    )
    assert counts(await send(ingest, *records, contact("c-1"))) == (7, 5, 1, 0, 1, 0)
    before = await ingest.read_outbox()
    again = await send(ingest, *records, contact("c-1"))
    assert counts(again) == (7, 0, 7, 0, 0, 0)
    assert counts(await send(ingest, gzip.compress(json.dumps(records).encode()))) == (6, 0, 6, 0, 0, 0)
    assert await ingest.read_outbox() == before


async def test_a_newer_record_corrects_and_an_older_one_does_not(ingest: Harness) -> None:
    def version(hour: int, talk: int) -> dict[str, Any]:
        record = contact(LastUpdateTimestamp=f"2026-03-02T{hour:02}:00:00Z")
        record["Agent"]["AgentInteractionDuration"] = talk
        return record

    await send(ingest, version(10, 200))
    assert counts(await send(ingest, version(12, 220))) == (1, 0, 0, 1, 0, 0)
    assert counts(await send(ingest, version(11, 210))) == (1, 0, 1, 0, 0, 0)
    assert counts(await send(ingest, version(13, 220))) == (1, 0, 1, 0, 0, 0)
    assert [(leg.version, leg.talk_ms) for leg in await ingest.read_events(LegRecorded)] == [(1, 200_000), (2, 220_000)]


def transferred() -> list[dict[str, Any]]:
    second = contact(
        "c-2", "ben", InitialContactId="c-1", PreviousContactId="c-1", InitiationMethod="TRANSFER",
        InitiationTimestamp="2026-03-02T08:04:00Z", DisconnectTimestamp="2026-03-02T08:20:00Z",
    )  # fmt: skip
    second["Agent"] |= {
        "ConnectedToAgentTimestamp": "2026-03-02T08:04:30Z",
        "AfterContactWorkStartTimestamp": "2026-03-02T08:20:00Z",
        "AfterContactWorkEndTimestamp": "2026-03-02T08:20:30Z",
    }
    return [contact(NextContactId="c-2"), second]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]])
async def test_a_transfer_makes_two_legs_in_any_order_of_records(ingest: Harness, order: list[int]) -> None:
    records = [*transferred(), analysis("c-2")]
    for index in order:
        await send(ingest, records[index])
    newest = {leg.leg: leg for leg in await ingest.read_events(LegRecorded)}
    assert {leg.interaction_id for leg in newest.values()} == {newest[1].interaction_id}
    first, second = newest[1], newest[2]
    assert (first.agent_id, first.first_leg, first.last_leg, first.transferred) == (person_id("ada"), True, False, True)
    assert (second.agent_id, second.first_leg, second.last_leg, second.transferred) == (
        person_id("ben"),
        False,
        True,
        False,
    )
    assert (second.direction, second.silence_vendor_ms, first.silence_vendor_ms) == ("inbound", 170_000, None)
    assert not first.void
    assert not second.void


async def test_open_interactions_are_held_completed_and_reopened(ingest: Harness) -> None:
    opened = await send(
        ingest, event("INITIATED"), contact(DisconnectTimestamp=None, LastUpdateTimestamp="2026-03-02T08:01:00Z")
    )
    assert counts(opened) == (2, 0, 0, 0, 2, 0)
    assert {each["reason"] for each in opened["problems"]} == {"open_interaction"}
    assert await ingest.read_events(LegRecorded) == []
    assert counts(await send(ingest, contact())) == (1, 0, 0, 1, 0, 0)
    reopened = contact(DisconnectTimestamp=None, LastUpdateTimestamp="2026-03-02T09:00:00Z")
    assert counts(await send(ingest, reopened)) == (1, 0, 0, 0, 1, 0)
    await send(ingest, contact(LastUpdateTimestamp="2026-03-02T10:00:00Z"))
    assert await legs(ingest) == [(1, 1, False), (1, 2, True), (1, 3, False)]


async def test_a_call_of_an_unknown_agent_counts_without_agent_until_named(ingest: Harness) -> None:
    receipt = await send(ingest, contact("c-1", "eve"), contact("c-2", "eve"))
    assert counts(receipt) == (2, 0, 0, 0, 2, 0)
    assert "`eve`" in receipt["problems"][0]["cure"]
    client = ingest.client_as("theo", "t1")
    held = (await client.get("/sources/connect/held")).json()
    assert [(each["external_id"], each["waiting"]) for each in held["people"]] == [("eve", 2)]
    assert [each["contact"] for each in held["items"]] == ["c-1", "c-2"]
    await ingest.deliver(person("eve", external={"connect": "eve"}), tenant="t1")
    legs = [(leg.external_id, leg.agent_id, leg.held, leg.version) for leg in await ingest.read_events(LegRecorded)]
    assert sorted(legs, key=str) == [
        ("c-1", None, "unknown_agent", 1),
        ("c-1", person_id("eve"), None, 2),
        ("c-2", None, "unknown_agent", 1),
        ("c-2", person_id("eve"), None, 2),
    ]
    assert (await client.get("/sources/connect/held")).json() == {"items": [], "next": None, "people": []}
    assert counts((await client.get(f"/receipts/{receipt['id']}")).json()) == (2, 2, 0, 0, 0, 0)


async def test_a_name_that_moves_to_another_person_moves_the_legs(ingest: Harness) -> None:
    await send(ingest, contact())
    await ingest.deliver(person("ada", team="team-a"), person("eve", external={"connect": "ada"}), tenant="t1")
    found = await ingest.read_events(LegRecorded)
    assert [leg.agent_id for leg in found if not leg.void][-1] == person_id("eve")
    assert [leg.version for leg in found] == list(range(1, len(found) + 1))
    assert not found[-1].void


async def test_names_may_hold_whatever_text_can(ingest: Harness) -> None:
    odd = ['a"b', "a\\b", "{a,b}", "NULL", "größe", "a b", "'"]
    await send(ingest, *(contact(name) for name in odd))
    assert counts(await send(ingest, *(contact(name) for name in odd))) == (7, 0, 7, 0, 0, 0)
    assert {leg.external_id for leg in await ingest.read_events(LegRecorded)} == set(odd)


async def test_history_goes_its_own_way(ingest: Harness) -> None:
    await send(ingest, contact("c-1"), mode="history")
    await send(ingest, contact("c-2"))
    topics = [
        row["topic"]
        for row in await ingest.rows("t1", "SELECT topic FROM outbox WHERE topic LIKE 'legs%' ORDER BY seq")
    ]
    assert topics == ["legs.history", "legs"]
    assert [leg.mode for leg in await ingest.read_events(LegRecorded)] == ["history", "live"]


async def test_agent_events_become_stretches(ingest: Harness) -> None:
    first = agent_event(
        "2026-03-02T09:00:00Z", "Lunch", "2026-03-02T08:59:00Z", before=("Available", "2026-03-02T08:00:00Z")
    )
    beat = agent_event("2026-03-02T09:02:00Z", "Lunch", "2026-03-02T08:59:00Z", kind="HEART_BEAT")
    out = agent_event("2026-03-02T09:30:00Z", "Lunch", "2026-03-02T08:59:00Z", kind="LOGOUT")
    assert counts(await send(ingest, first)) == (1, 1, 0, 0, 0, 0)
    assert counts(await send(ingest, beat)) == (1, 0, 1, 0, 0, 0)
    receipt = await send(ingest, out)
    assert counts(receipt) == (1, 1, 0, 0, 0, 0)
    intervals = await ingest.read_events(AgentStateChanged)
    assert [(each.state, each.version, each.duration_ms) for each in intervals] == [
        ("Available", 1, 59 * 60_000),
        ("Lunch", 1, None),
        ("Lunch", 2, 31 * 60_000),
    ]
    assert {each.agent_id for each in intervals} == {person_id("ada")}
    undone = (await ingest.client_as("theo", "t1").delete(f"/receipts/{receipt['id']}")).json()
    assert undone["states_changed"] == 1
    assert (await ingest.read_events(AgentStateChanged))[-1].duration_ms is None


async def test_states_of_an_unknown_agent_wait_for_the_name(ingest: Harness) -> None:
    notice = agent_event("2026-03-02T09:00:00Z", "Lunch", "2026-03-02T08:59:00Z", agent="eve")
    receipt = await send(ingest, notice)
    assert counts(receipt) == (1, 0, 0, 0, 1, 0)
    await ingest.deliver(person("eve", external={"connect": "id-of-eve"}), tenant="t1")
    (interval,) = await ingest.read_events(AgentStateChanged)
    assert (interval.agent_id, interval.state) == (person_id("eve"), "Lunch")
    again = await ingest.client_as("theo", "t1").get(f"/receipts/{receipt['id']}")
    assert counts(again.json()) == (1, 1, 0, 0, 0, 0)


async def test_two_tenants_with_the_same_ids_share_nothing(ingest: Harness) -> None:
    people = [person("bob", external={"connect": "ada"}), person("theo2", roles=["tenant_admin"])]
    await ingest.apply_directory("t2", people=people)
    await ingest.client_as("theo2", "t2").put("/sources/connect", json={"vendor": "amazon-connect"})
    mine = await send(ingest, contact())
    theirs = await send(ingest, contact(), of="t2", who="theo2")
    one, two = await ingest.read_events(LegRecorded)
    assert one.interaction_id != two.interaction_id
    assert one.customer_key != two.customer_key
    assert (one.agent_id, two.agent_id) == (person_id("ada"), person_id("bob"))
    client = ingest.client_as("theo2", "t2")
    for path in (
        f"/receipts/{mine['id']}",
        f"/receipts/{mine['id']}/records",
        f"/interactions/{one.interaction_id}",
    ):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete(f"/receipts/{mine['id']}")).status_code == 404
    assert [each["id"] for each in (await client.get("/receipts")).json()["items"]] == [theirs["id"]]
    found = (await client.get("/interactions", params={"external_id": "c-1"})).json()["items"]
    assert [each["id"] for each in found] == [str(two.interaction_id)]
    await client.delete(f"/receipts/{theirs['id']}")
    assert (await legs(ingest, "t1")) == [(1, 1, False)]


async def test_generic_csv_is_replayed_with_a_corrected_mapping(ingest: Harness) -> None:
    mapping: dict[str, Any] = {
        "time_zone": "Europe/Berlin",
        "time_format": "%d.%m.%Y %H:%M",
        "fields": {
            "contact": {"from": "id"}, "started": {"from": "start"}, "agent": {"from": "agent"},
            "channel": {"value": "voice"}, "direction": {"from": "dir", "values": {"I": "inbound"}},
            "talk_ms": {"from": "talk", "unit": "min"}, "hold_ms": {"value": 0}, "acw_ms": {"value": 0},
        },
    }  # fmt: skip
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=mapping)
    body = "\ufeffid;start;agent;dir;talk\r\n1;02.03.2026 09:00;ada;I;4\r\n2;02.03.2026 10:00;ada;O;5\r\n3;02.03.2026 11:00;ada;I;x\r\n"
    receipt = await send(ingest, body.encode("utf-8"), source="calls")
    assert counts(receipt) == (3, 1, 0, 0, 0, 2)
    assert [(each["line"], each["field"]) for each in receipt["problems"]] == [(3, "dir"), (4, "talk")]
    mapping["fields"]["direction"]["values"]["O"] = "outbound"
    mapping["fields"]["talk_ms"]["unit"] = "s"
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=mapping)
    again = await ingest.client_as("theo", "t1").post(f"/receipts/{receipt['id']}/replay")
    assert counts(again.json()) == (3, 2, 0, 0, 0, 1)
    found = [
        (leg.external_id, leg.version, leg.talk_ms, leg.direction) for leg in await ingest.read_events(LegRecorded)
    ]
    assert found == [("1", 1, 240_000, "inbound"), ("1", 2, 4_000, "inbound"), ("2", 1, 5_000, "outbound")]
    before = await ingest.read_events(LegRecorded)
    await ingest.client_as("theo", "t1").post(f"/receipts/{receipt['id']}/replay")
    assert await ingest.read_events(LegRecorded) == before


async def test_undo_removes_the_parts_that_only_the_receipt_contains(ingest: Harness) -> None:
    first = await send(ingest, contact("c-1"), contact("c-2"))
    second = await send(ingest, contact("c-2"), contact("c-3"), analysis("c-1"))
    client = ingest.client_as("theo", "t1")
    preview = (await client.delete(f"/receipts/{second['id']}", params={"dry_run": True})).json()
    assert (preview["records"], preview["legs_changed"], preview["legs_voided"], preview["dry_run"]) == (2, 2, 1, True)
    before = await ingest.read_outbox()
    undone = (await client.delete(f"/receipts/{second['id']}")).json()
    assert undone == preview | {"dry_run": False, "status": "undone"}
    events = (await ingest.read_events(LegRecorded))[len([1 for _, each in before if isinstance(each, LegRecorded)]) :]
    assert sorted((leg.external_id, leg.version, leg.void, leg.silence_vendor_ms) for leg in events) == [
        ("c-1", 3, False, None),
        ("c-3", 2, True, None),
    ]
    assert (await client.get(f"/receipts/{second['id']}")).json()["status"] == "undone"
    assert (await client.delete(f"/receipts/{second['id']}")).json()["records"] == 0
    assert counts(await send(ingest, contact("c-3"))) == (1, 1, 0, 0, 0, 0)
    assert (await ingest.read_events(LegRecorded))[-1].version == 3
    await client.delete(f"/receipts/{first['id']}")
    newest = {leg.external_id: leg.void for leg in await ingest.read_events(LegRecorded)}
    assert newest == {"c-1": True, "c-2": True, "c-3": False}


async def test_undo_of_a_correction_restores_the_older_content(ingest: Harness) -> None:
    await send(ingest, contact())
    newer = contact(LastUpdateTimestamp="2026-03-02T10:00:00Z")
    newer["Agent"]["AgentInteractionDuration"] = 200
    receipt = await send(ingest, newer)
    await ingest.client_as("theo", "t1").delete(f"/receipts/{receipt['id']}")
    assert [leg.talk_ms for leg in await ingest.read_events(LegRecorded)] == [240_000, 200_000, 240_000]


async def test_an_interaction_shows_versions_and_raw_payloads(ingest: Harness) -> None:
    await send(ingest, contact(), analysis())
    newer = contact(LastUpdateTimestamp="2026-03-02T10:00:00Z", Channel="CHAT")
    await send(ingest, newer)
    (found,) = (await ingest.client_as("quinn", "t1").get("/interactions", params={"external_id": "c-1"})).json()[
        "items"
    ]
    assert [(leg["leg"], leg["version"], leg["channel"]) for leg in found["legs"]] == [(1, 2, "chat")]
    whole = (await ingest.client_as("quinn", "t1").get(f"/interactions/{found['id']}")).json()
    assert [each["content"]["version"] for each in whole["versions"]] == [1, 2]
    assert [each["kind"] for each in whole["parts"]] == ["contact", "analysis", "contact"]
    assert json.loads(whole["parts"][2]["raw"]) == newer
    assert json.loads(whole["parts"][1]["raw"]) == analysis()
    as_agent = (await ingest.client_as("ada", "t1").get(f"/interactions/{found['id']}")).json()
    assert as_agent["parts"] == []
    assert (await ingest.client_as("ben", "t1").get(f"/interactions/{found['id']}")).status_code == 404
    assert (await ingest.client_as("ben", "t1").get("/interactions", params={"external_id": "c-1"})).json()[
        "items"
    ] == []
    assert (await ingest.client_as("lea", "t1").get(f"/interactions/{found['id']}")).status_code == 200


CALLS = {
    "vendor": "generic",
    "mapping": {
        "fields": {
            "contact": {"from": "id"},
            "agent": {"from": "agent"},
            "channel": {"value": "voice"},
            "started": {"from": "start"},
            "talk_ms": {"from": "talk", "unit": "s"},
        }
    },
}
SEGMENTS = b"""id,seg,agent,start,talk
C1,1,ada,2026-03-02T09:00:00Z,100
C1,2,ben,2026-03-02T09:02:00Z,200
C1,3,ada,2026-03-02T09:06:00Z,50
C2,1,ada,2026-03-02T10:00:00Z,300
"""


async def test_rows_of_one_call_are_refused_until_the_mapping_makes_them_legs(ingest: Harness) -> None:
    await configure_source(ingest, "t1", "calls", **CALLS)
    client = ingest.client_as("robot", "t1")
    receipt = (await client.post("/sources/calls/records", content=SEGMENTS)).json()
    assert counts(receipt) == (4, 2, 0, 0, 0, 2)
    assert {(each["field"], each["line"]) for each in receipt["problems"]} == {("id", 3), ("id", 4)}
    assert all("`contact: {from: [id, SEGMENT]}`" in each["cure"] for each in receipt["problems"])
    # In a body of its own, a row with another agent and another start is refused too; one that keeps either corrects.
    other = b"id,seg,agent,start,talk\nC1,2,ben,2026-03-02T09:02:00Z,200\nC2,1,ada,2026-03-02T10:00:05Z,300\n"
    assert counts((await client.post("/sources/calls/records", content=other)).json()) == (2, 0, 0, 1, 0, 1)
    fields = CALLS["mapping"]["fields"] | {"contact": {"from": ["id", "seg"]}, "initial": {"from": "id"}}
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping={"fields": fields})
    await ingest.client_as("theo", "t1").post(f"/receipts/{receipt['id']}/replay")
    found = (await ingest.client_as("theo", "t1").get("/interactions", params={"external_id": "C1"})).json()["items"]
    assert [
        (leg["external_id"], leg["agent_external_id"], leg["talk_ms"]) for leg in found[0]["legs"] if not leg["void"]
    ] == [
        ("C1 1", "ada", 100_000),
        ("C1 2", "ben", 200_000),
        ("C1 3", "ada", 50_000),
    ]


async def test_a_record_of_several_agents_becomes_several_legs_and_undo_voids_all(ingest: Harness) -> None:
    fields = {
        "contact": {"from": ["conv", "parts[role=agent].user"]},
        "initial": {"from": "conv"},
        "agent": {"from": "parts[role=agent].user"},
        "channel": {"value": "voice"},
        "started": {"from": "start"},
        "talk_ms": {"from": "parts[role=agent].metrics[name=tTalk].value"},
    }
    mapping = {"fields": fields, "each": "parts[role=agent]"}
    await configure_source(ingest, "t1", "calls", vendor="generic", mapping=mapping)
    agents = [
        {"role": "agent", "user": user, "metrics": [{"name": "tTalk", "value": talk}]}
        for user, talk in (("ada", 60_000), ("ben", 90_000))
    ]
    record = {"conv": "K1", "start": "2026-03-02T10:00:00Z", "parts": [{"role": "customer"}, *agents]}
    client = ingest.client_as("theo", "t1")
    receipt = (await ingest.client_as("robot", "t1").post("/sources/calls/records", json=[record])).json()
    assert counts(receipt) == (2, 1, 0, 0, 1, 0)
    await client.post(f"/receipts/{receipt['id']}/replay")
    assert counts((await client.get(f"/receipts/{receipt['id']}")).json()) == (2, 1, 0, 0, 1, 0)
    (found,) = (await client.get("/interactions", params={"external_id": "K1"})).json()["items"]
    assert [(leg["agent_external_id"], leg["talk_ms"]) for leg in found["legs"]] == [("ada", 60_000), ("ben", 90_000)]
    await client.delete(f"/receipts/{receipt['id']}")
    (found,) = (await client.get("/interactions", params={"external_id": "K1 ada"})).json()["items"]
    assert [leg["void"] for leg in found["legs"]] == [True, True]
