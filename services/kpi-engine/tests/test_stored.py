"""A model that a version before stored, and this one cannot read: it stops neither the reader nor the other models."""

from collections.abc import Callable

import pytest
from contracts.legs import LegRecorded
from testkit import Harness, parse_instant


async def test_a_model_that_cannot_be_read_is_passed_over_with_an_error(
    kpi: Harness, leg: Callable[..., LegRecorded], silence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
        await session.execute("UPDATE kpi_model SET document = 'kpi: of old' WHERE tenant = 't1' AND kpi = 'silence'")
    evening = parse_instant("2026-03-02T20:00Z")
    await kpi.deliver(leg("c-1", "ada", "2026-03-02"), tenant="t1", at=evening)
    counted = await kpi.rows("t1", "SELECT kpi, sample FROM partial WHERE sample <> 0")
    assert [(row["kpi"], row["sample"]) for row in counted] == [("longest", 1)]
    assert "a published model cannot be used any more" in caplog.text
    adm = kpi.client_as("adm", "t1")
    assert [each["kpi"] for each in (await adm.get("/kpis")).json()["items"]] == ["longest"]
    assert (await adm.put("/kpis/silence", content=silence)).status_code == 200
    counted = await kpi.rows("t1", "SELECT kpi FROM partial WHERE sample <> 0 ORDER BY kpi")
    assert [row["kpi"] for row in counted] == ["longest", "silence"]
