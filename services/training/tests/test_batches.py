"""A batch leaves behind what its messages one by one do: the same assignments, reasons and events."""

import random
from datetime import timedelta
from typing import Any

from contracts import derived_id, new_id
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from testkit import person_id

KINDS = ["entered", "entered", "stayed", "stayed", "left", "never entered", "never left"]
TENANTS, PEOPLE, STAYS = ("acme", "zeta"), ("ada", "ben"), range(3)
MODES = ["live", "live", "live", "history"]
AGAIN = [0, 1]  # some come again as the very same event
LINE = (KINDS, TENANTS, PEOPLE, STAYS, MODES, AGAIN)


def window_of(place: int) -> dict[str, Any]:
    day = f"2026-03-{5 + place % 9:02}"
    return {"at_window": day, "evidence": [Window(window=day, value="65", sample=9, band="coach")]}


def message(training: Any, seed: Any, place: int, line: Any) -> Any:
    kind, tenant, who, stay, mode, _ = line
    values: dict[str, Any] = {
        "agent_id": person_id(who), "band_event_id": derived_id(seed, tenant, who, stay), "kpi": "silence_pct",
        "model_version": 1, "band": "critical" if stay == 2 else "coach", "rank": 2, "at_window": "2026-03-04",
        "mode": mode, "evidence": [Window(window="2026-03-04", value="65", sample=9, band="coach")],
    }  # fmt: skip
    body = {
        "entered": lambda: BandEntered(**values),
        "stayed": lambda: BandStayed(**values | window_of(place), version=place + 1),
        "left": lambda: BandLeft(**values),
        "never entered": lambda: BandCorrected(**values, retracts="entered"),
        "never left": lambda: BandCorrected(**values, retracts="left"),
    }[kind]()
    at = training.now + timedelta(hours=place)
    return training.h.message(body, tenant=tenant, at=at, event_id=derived_id(seed, *line))


async def deliver_story(training: Any, story: list[Any], *, size: int) -> Any:
    """What is stored and said afterwards, with names for ids."""
    h, seed = training.h, new_id()
    for tenant in TENANTS:
        for table in ("assignment", "skipped", "band_stay", "due_item"):
            await h.rows(tenant, f"DELETE FROM {table} WHERE tenant = '{tenant}' RETURNING 1")
    await h.clear_outbox()
    messages = [message(training, seed, place, line) for place, line in enumerate(story)]
    door, partition = h.running.doors["bands"], TopicPartition("bands", 0)
    for _ in range(2):
        for first in range(0, len(messages), size):
            batch = messages[first : first + size]
            expected = await door.load_next_offset("test", partition)
            await door.apply(batch, [OffsetStep("test", partition, expected, expected + len(batch))])
    names = {
        derived_id(seed, tenant, who, stay): (tenant, who, stay)
        for tenant in TENANTS for who in PEOPLE for stay in STAYS
    }  # fmt: skip
    found: list[Any] = []
    for tenant in TENANTS:
        rows = await h.rows(tenant, "SELECT * FROM assignment ORDER BY id")
        assignments = {row["id"]: (names[row["band_event_id"]], row["rule"]) for row in rows}
        found += [row | {"id": None, "occasion": None, "band_event_id": names[row["band_event_id"]]} for row in rows]
        for row in await h.rows(tenant, "SELECT * FROM skipped ORDER BY at, rule"):
            found.append(row | {"occasion": None, "band_event_id": names[row["band_event_id"]]})
        for row in await h.rows(tenant, "SELECT * FROM band_stay"):
            found.append({**row, "band_event_id": names[row["band_event_id"]], "heard": len(row["heard"])})
        due = await h.rows(tenant, f"SELECT * FROM due_item WHERE tenant = '{tenant}' AND kind = 'overdue' ORDER BY at")
        found += [row | {"ref": str(next(v for k, v in assignments.items() if str(k) == row["ref"]))} for row in due]
        published: list[Any] = [
            (type(event).__name__, attributes.time, assignments[event.assignment_id], event.due_at)
            for attributes, event in await h.read_outbox()
            if attributes.tenant == tenant
        ]
        found.append(published)
    return sorted(map(str, found))


async def test_a_batch_does_what_its_messages_one_by_one_do(training):
    await training.people("zeta")
    for tenant in TENANTS:
        rules = [
            training.rule(),
            training.rule("second", template="other", priority=1, max_open=2, due_days=None),
            training.rule("still", trigger="stayed", windows=2, template="other", cooldown_days=0),
            training.rule("stays-open", band="critical", withdraw_when_left=False, cooldown_days=2),
        ]
        templates = [{"template": name, **training.READING} for name in ("silence-basics", "other")]
        await training.blueprint(*rules, tenant=tenant, templates=templates)
    for seed in range(30):
        chance = random.Random(seed)
        story = [[chance.choice(choices) for choices in LINE] for _ in range(chance.randint(4, 20))]
        singly = await deliver_story(training, story, size=1)
        assert await deliver_story(training, story, size=7) == singly, story
