"""While one tenant's models are being changed, nobody else's facts wait for it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from contracts.blueprints import BlueprintPublished, SectionApplied
from contracts.legs import LegRecorded
from kpi_engine.store import facts
from testkit import Harness, parse_instant, person

DAY = "2026-03-02"
EVENING = parse_instant("2026-03-02T20:00Z")


async def samples(kpi: Harness, tenant: str) -> int:
    (row,) = await kpi.rows(tenant, "SELECT coalesce(sum(sample), 0) AS n FROM partial WHERE kpi = 'silence'")
    return int(row["n"])


async def test_facts_of_a_tenant_whose_models_change_are_set_aside(
    kpi: Harness, leg: Callable[..., LegRecorded]
) -> None:
    before = await samples(kpi, "t1")
    async with kpi.context.sessions.begin(["t1"], now=EVENING) as publishing:
        await facts.lock_models(publishing, for_change=True)
        async with asyncio.timeout(20):
            await kpi.deliver(leg("c-1", "ada", DAY), leg("c-2", "ada", DAY), tenant="t1", at=EVENING)
            await kpi.deliver(leg("c-1", "ada", DAY, version=2), tenant="t1", at=EVENING)
            await kpi.deliver(person("ada", team="a", attributes={"hire_date": "2020-01-01"}), tenant="t1", at=EVENING)
        assert await samples(kpi, "t1") == before
        (waiting,) = await kpi.rows("t1", "SELECT count(*) AS n FROM waiting_fact")
        # Everything is delivered twice, with the same ids.
        assert waiting["n"] == 3
    await kpi.tick(datetime.now(UTC))
    assert await samples(kpi, "t1") == before + 2
    assert await kpi.rows("t1", "SELECT 1 FROM waiting_fact") == []
    assert await kpi.tick(datetime.now(UTC)) == 0


async def test_a_blueprint_does_not_wait_in_its_reader_until_another_change_is_done(kpi: Harness) -> None:
    async with kpi.context.sessions.begin(["t1"], now=EVENING) as publishing:
        await facts.lock_models(publishing, for_change=True)
        async with asyncio.timeout(20):
            section = {"kpis": []}
            await kpi.deliver(BlueprintPublished(version=3, sections={"kpi-engine": section}), tenant="t1", at=EVENING)
        assert await kpi.read_events(SectionApplied) == []
    await kpi.tick(datetime.now(UTC))
    (applied,) = await kpi.read_events(SectionApplied)
    assert (applied.version, applied.content) == (3, {"kpis": []})
