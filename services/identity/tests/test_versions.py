"""What identity says of the directory has a version that rises with each change, so that readers can tell new from old."""

from contracts import new_id
from contracts.blueprints import SectionApplied, SectionRejected
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged


async def test_every_change_raises_the_version(centre, section):
    def versions(kind) -> list[int]:
        return [body.version for body in centre.bodies(kind)]

    await centre.call("boss@demo", "POST", "/people", 201, json={"slug": "new", "display_name": "New"})
    assert versions(PersonChanged) == [1]
    for expected in (2, 3):
        await centre.call("boss@demo", "PATCH", "/people/new", json={"display_name": f"New {expected}"})
        assert versions(PersonChanged) == [expected]
    section["org_units"][1]["name"] = "Another"
    section["people"][0]["display_name"] = "Another"
    section["time_zone"] = "Asia/Shanghai"
    await centre.put("demo", section)
    assert (versions(OrgUnitChanged), versions(PersonChanged), versions(TenantChanged)) == ([2], [2], [2])
    await centre.put("demo", section)
    assert centre.published == [], "an unchanged directory is not published again"


async def test_a_replayed_state_undoes_nothing(centre):
    boss = {"slug": "two", "display_name": "Two", "login": "two", "roles": [{"role": "tenant_admin"}]}
    await centre.call("boss@demo", "POST", "/people", 201, json=boss)
    (before,) = centre.bodies(PersonChanged)
    await centre.call("two@demo", "GET", "/people/ada")
    await centre.call("boss@demo", "PATCH", "/people/two", json={"active": False})
    await centre.harness.deliver(before, tenant="demo")
    await centre.call("two@demo", "GET", "/people/ada", 403)


async def test_what_a_service_has_now_is_the_newest_answer_in_whatever_order_they_come(centre):
    first, edited, rejected = new_id(), new_id(), new_id()
    deliver = centre.harness.deliver
    await deliver(SectionApplied(service="training", version=None, content={"n": 2}), tenant="demo", ids=[edited])
    await deliver(SectionApplied(service="training", version=4, content={"n": 1}), tenant="demo", ids=[first])
    await deliver(SectionRejected(service="training", version=3, problems=[]), tenant="demo", ids=[rejected])
    exported = await centre.call("boss@demo", "GET", "/tenants/demo/blueprint")
    assert exported["sections"]["training"] == {"n": 2}
    (row,) = await centre.harness.rows("demo", "SELECT * FROM section WHERE service = 'training'")
    assert (row["applied_version"], row["rejected_version"]) == (4, None)
