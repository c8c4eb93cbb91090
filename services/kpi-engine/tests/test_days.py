"""The reconciliation also judges the workdays of facts: by the directory as it is now."""

from datetime import date

from contracts.legs import AgentStateChanged
from servicekit import directory
from testkit import Harness, org_unit, parse_instant, person_after_move, person_id, tenant


async def test_facts_on_another_day_than_the_directorys_are_found(kpi: Harness, leg) -> None:
    sites = [
        org_unit("new-york", kind="site", time_zone="America/New_York"),
        org_unit("shanghai", kind="site", time_zone="Asia/Shanghai"),
    ]
    berlin = tenant("t1", time_zone="Europe/Berlin", day_start_minutes=240)
    ada = person_after_move("ada", "new-york", "shanghai", date(2026, 11, 5))
    await kpi.apply_directory("t1", org_units=sites, people=[ada], of_tenant=berlin)
    times = [f"2026-11-0{day}T{hour:02}:30Z" for day in (3, 4, 5) for hour in range(0, 24, 3)]
    async with kpi.context.sessions.begin(["t1"], now=kpi.now) as session:
        workdays = await directory.load_workdays(session)
    legs = [
        leg(f"{who or 'n'}-{time}", who, "2026-11-01", started_at=parse_instant(time), workday=workdays.workday_of(who and person_id(who), parse_instant(time)))
        for time in times
        for who in ("ada", "bob", None)
    ]  # fmt: skip
    await kpi.deliver(*legs, tenant="t1")

    async def found() -> tuple[int, list[tuple[str, str, str]]]:
        report = (await kpi.client_as("adm", "t1").get("/reconciliation")).json()
        assert report["differences"] == []
        shown = [(each["external_id"], each["workday"], each["directory_workday"]) for each in report["misplaced"]]
        return report["found"], shown

    assert await found() == (0, [])
    wrong = leg("wrong", "ada", "2026-11-04", started_at=parse_instant("2026-11-04T21:00Z"))
    state = AgentStateChanged(
        agent_id=person_id("bob"), state_id=person_id("a state"), version=1, source="connect", state="Available",
        started_at=parse_instant("2026-11-04T02:00Z"), workday=date(2026, 11, 4),
    )  # fmt: skip
    await kpi.deliver(wrong, state, tenant="t1")
    assert await found() == (2, [(None, "2026-11-04", "2026-11-03"), ("wrong", "2026-11-04", "2026-11-05")])
    later = berlin.model_copy(update={"day_start_minutes": 0})
    await kpi.apply_directory("t1", of_tenant=later)
    assert (await found())[0] > 5, "until the legs come with their new days"
