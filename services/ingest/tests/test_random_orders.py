"""Whatever the order, the batches, the repeats, the corrections and what is undone: the legs are those that a plain
reading of the records that remain gives, and every leg's versions count from one without a gap."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from contracts.legs import LegRecorded
from ingest.model import amazon_connect
from ingest.model.amazon_connect import Options
from ingest.model.canonical import Agent, Leg, merge
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Part
from ingest_records import analysis, configure_source, contact, event
from servicekit.workdays import compute_workday
from testkit import Harness, person_id

READING = ReadContext(int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1000), b"")
AGENTS = {"ada": "ada", "ben": "ben"}


def pool(chance: random.Random) -> list[dict[str, Any]]:
    """Records of eight interactions: corrections, transfers, reopened calls, agents that nobody knows."""
    records: list[dict[str, Any]] = []
    for n in range(8):
        for hour in range(chance.randint(1, 3)):
            record = contact(
                f"c-{n}", chance.choice(["ada", "ben", "eve", None]), LastUpdateTimestamp=f"2026-03-02T1{hour}:00:00Z"
            )
            if record["Agent"]:
                record["Agent"]["AgentInteractionDuration"] = chance.randint(1, 240)
            if chance.random() < 0.2:
                record["DisconnectTimestamp"] = None
            records.append(record)
        if chance.random() < 0.6:
            minute = chance.randint(1, 4)
            further = contact(
                f"d-{n}", chance.choice(["ada", "ben"]), InitialContactId=f"c-{n}", PreviousContactId=f"c-{n}",
                InitiationMethod="TRANSFER", InitiationTimestamp=f"2026-03-02T08:00:{minute:02}Z",
            )  # fmt: skip
            records += [further, analysis(f"d-{n}")]
        records += [analysis(f"c-{n}"), event("QUEUED", f"c-{n}")]
    return records


def expected(records: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """The legs that follow from these records, in the order in which they first came, by the plainest way."""
    groups: dict[str, list[Part]] = {}
    for record in records:
        part = amazon_connect.read(record, READING, Options())
        assert isinstance(part, Part)
        root = "c-" + part.contact.partition("-")[2]
        if part not in groups.setdefault(root, []):
            groups[root].append(part)

    def agent_of(names: list[str], at: int) -> Agent | None:
        return Agent(person_id(AGENTS[names[0]]), compute_workday(at, UTC)) if names[0] in AGENTS else None

    found = set()
    for root, parts in groups.items():
        merged = merge(parts, agent_of, lambda at: compute_workday(at, UTC), open_without_end=True)
        for number, leg in enumerate(merged.legs, 1):
            if isinstance(leg, Leg):
                found.add((root, number, *_figures(leg)))
    return found


def _figures(leg: Any) -> tuple[Any, ...]:
    names = (
        "external_id",
        "agent_id",
        "talk_ms",
        "handle_ms",
        "conversation_ms",
        "silence_vendor_ms",
        "first_leg",
        "last_leg",
    )
    return (*(getattr(leg, name) for name in names), leg.transferred, leg.direction)


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_gives_the_same_legs(ingest: Harness, seed: int) -> None:
    chance = random.Random(seed)
    records = pool(chance)
    records += chance.choices(records, k=len(records) // 4)
    chance.shuffle(records)
    client = ingest.client_as("theo", "t1")
    await configure_source(ingest, "t1")
    receipts: list[tuple[str, list[dict[str, Any]]]] = []
    while records:
        size = chance.randint(1, 12)
        batch, records = records[:size], records[size:]
        body = "\n".join(json.dumps(record) for record in batch)
        receipts.append(((await client.post("/sources/connect/records", content=body)).json()["id"], batch))
        if chance.random() < 0.3:
            undone = receipts.pop(chance.randrange(len(receipts)))
            assert (await client.delete(f"/receipts/{undone[0]}")).status_code == 200
            if chance.random() < 0.5:
                records += undone[1]
        history: dict[tuple[Any, int], list[LegRecorded]] = {}
        for leg in await ingest.read_events(LegRecorded):
            history.setdefault((leg.interaction_id, leg.leg), []).append(leg)
        for versions in history.values():
            assert [leg.version for leg in versions] == list(range(1, len(versions) + 1))
        now = {
            ("c-" + leg.external_id.partition("-")[2], leg.leg, *_figures(leg))
            for leg in (versions[-1] for versions in history.values())
            if not leg.void
        }
        assert now == expected([record for _, batch in receipts for record in batch])
