"""A model whose facts are many is counted by the clock and not by the request that publishes it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from contracts.blueprints import BlueprintPublished, SectionApplied
from contracts.legs import LegRecorded
from kpi_engine.actions import publishing
from kpi_engine.store import facts
from testkit import Harness, parse_instant, person_id

EVENING = parse_instant("2026-03-02T20:00Z")


@pytest.fixture
async def many(kpi: Harness, leg: Callable[..., LegRecorded], monkeypatch: pytest.MonkeyPatch) -> Harness:
    legs = [leg(f"c-{number}", "ada", "2026-03-02") for number in range(4)]
    await kpi.deliver(*legs, tenant="t1", at=EVENING)
    await kpi.clear_outbox()
    monkeypatch.setattr(facts, "MAX_QUICK_FACTS", 3)
    return kpi


async def samples(kpi: Harness, name: str) -> list[tuple[int, int]]:
    found = await kpi.rows("t1", "SELECT version, sample FROM partial WHERE kpi = :kpi AND sample <> 0", kpi=name)
    return [(row["version"], row["sample"]) for row in found]


async def test_a_model_with_many_facts_is_counted_by_the_clock(many: Harness, longest: str) -> None:
    adm, path = many.client_as("adm", "t1"), "/kpis/longest"
    newer = longest.replace("Longest talk", "Longest of all")
    scheduled = await adm.put(path, content=newer)
    assert (scheduled.status_code, scheduled.json()["version"], scheduled.json()["publishing"]) == (202, 2, True)
    shown = (await adm.get(path)).json()
    assert (shown["version"], shown["publishing"]) == (1, True)
    assert await samples(many, "longest") == [(1, 4)]
    assert await many.read_events(SectionApplied) == []
    await many.tick(datetime.now(UTC))
    shown = (await adm.get(path)).json()
    assert (shown["version"], shown["publishing"], shown["model"]["title"]["en"]) == (2, False, "Longest of all")
    assert await samples(many, "longest") == [(2, 4)]
    assert len(await many.read_events(SectionApplied)) == 1
    (version, *_) = (await adm.get(path + "/versions")).json()["items"]
    assert version["published_by"] is not None
    again = await adm.put(path, content=newer)
    assert (again.status_code, again.json()["version"], again.json()["publishing"]) == (200, 2, False)


async def test_the_first_version_of_a_kpi_is_shown_while_it_is_counted(many: Harness, longest: str) -> None:
    adm, path = many.client_as("adm", "t1"), "/kpis/shortest"
    text = longest.replace("longest", "shortest").replace("max(", "min(")
    assert (await adm.put(path, content=text)).status_code == 202
    shown = await adm.get(path)
    assert (shown.status_code, shown.json()["version"], shown.json()["publishing"]) == (200, 1, True)
    await many.tick(datetime.now(UTC))
    assert await samples(many, "shortest") == [(1, 4)]
    assert (await adm.get(path)).json()["publishing"] is False


async def test_what_is_retired_or_replaced_meanwhile_is_not_published(many: Harness, longest: str) -> None:
    adm, path = many.client_as("adm", "t1"), "/kpis/longest"
    newer = longest.replace("Longest talk", "Longest of all")
    assert (await adm.put(path, content=newer)).status_code == 202
    assert (await adm.delete(path)).status_code == 204
    await many.tick(datetime.now(UTC))
    assert (await adm.get(path)).json()["retired"] is True
    assert (await adm.put(path, content=newer)).status_code == 202
    section = {"kpi-engine": {"kpis": []}}
    await many.deliver(BlueprintPublished(version=3, sections=section), tenant="t1", at=EVENING)
    await many.tick(datetime.now(UTC))
    assert (await adm.get(path)).json()["retired"] is True


async def test_many_people_whose_targets_change_are_judged_anew_by_the_clock(
    many: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an org unit changes: its reader does not judge all of its people within one batch."""
    monkeypatch.setattr(publishing, "AGENTS_AT_ONCE", 1)
    people = [person_id("ada"), person_id("bob")]
    async with many.context.sessions.begin(["t1"], now=EVENING) as session:
        await publishing._derive_or_schedule(session, people)
    due = await many.rows("t1", "SELECT ref FROM due_item WHERE kind = 'targets'")
    assert {row["ref"] for row in due} == {str(each) for each in people}
    await many.tick(datetime.now(UTC))
    assert await many.rows("t1", "SELECT ref FROM due_item WHERE kind = 'targets'") == []
