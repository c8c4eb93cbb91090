"""A tenant set up as a whole, and exported again."""

import pytest
import yaml
from contracts.blueprints import BlueprintPublished, SectionApplied, SectionProblem, SectionRejected
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged

BUNDLE = """
blueprint: call-centre
sections:
  identity:
    time_zone: Asia/Shanghai
    day_start_minutes: 240
    org_units:
      - {slug: site, name: 上海, kind: site}
      - {slug: team, name: Team, parent: site}
    people:
      - slug: ann
        display_name: Ann
        language: no
        login: ann
        external_ids:
          - {source: connect, external_id: 4711, valid_from: 2026-01-01}
        memberships: [{org_unit: team}]
        roles: [{role: agent, org_unit: team}]
  training:
    rules: [{remind_at: 12:30, enabled: false, after: 2026-03-01}]
"""


async def put(identity, text: str, expect: int = 200, query: str = "", tenant: str = "demo"):
    return await identity.call(
        f"boss@{tenant}",
        "PUT",
        f"/tenants/{tenant}/blueprint{query}",
        expect,
        content=text.encode(),
        headers={"content-type": "application/yaml"},
    )


async def test_a_bundle_is_applied_published_and_again_changes_nothing(identity):
    await identity.tenant("demo")
    dry = await put(identity, BUNDLE, query="?dry_run=true")
    assert identity.published == []
    report = await put(identity, BUNDLE)
    assert report == {**dry, "dry_run": False}
    assert (report["version"], report["published"], report["people_changed"]) == (1, True, ["ann"])
    (published,) = identity.bodies(BlueprintPublished)
    assert published.sections["training"] == {
        "rules": [{"remind_at": "12:30", "enabled": False, "after": "2026-03-01"}]
    }
    (tenant,) = identity.bodies(TenantChanged)
    assert (tenant.time_zone, tenant.day_start_minutes, tenant.name) == ("Asia/Shanghai", 240, "Demo")
    (ann,) = identity.bodies(PersonChanged)
    assert (ann.external_ids[0].external_id, ann.language) == ("4711", "no")
    assert [unit.slug for unit in identity.bodies(OrgUnitChanged)] == ["site", "team"]
    await identity.call("ann@demo", "GET", "/me")

    again = await put(identity, BUNDLE.replace("call-centre", '"call-centre"'))
    assert (again["version"], again["published"], identity.published) == (1, False, [])
    await put(identity, BUNDLE, query="?again=true")
    assert [type(body) for _, body in identity.published] == [BlueprintPublished]
    changed = await put(identity, BUNDLE.replace("enabled: false", "enabled: true"))
    assert changed["version"] == 2
    assert [type(body) for _, body in identity.published] == [BlueprintPublished]


async def test_what_a_bundle_does_not_name_stays(centre):
    await centre.put("demo", {"people": [{"slug": "ada", "display_name": "Ada II"}]})
    ada = await centre.call("boss@demo", "GET", "/people/ada")
    assert (ada["display_name"], ada["memberships"][0]["org_unit"]) == ("Ada II", "team-1")
    assert [person.slug for person in centre.bodies(PersonChanged)] == []
    people = await centre.call("boss@demo", "GET", "/people")
    assert [each["slug"] for each in people["items"]] == ["ada", "ben", "boss", "lea", "tia"]


async def test_every_problem_has_its_pointer_and_nothing_is_applied(identity):
    await identity.tenant("demo")
    text = """\
blueprint: broken
sections:
  identity:
    time_zone: Mars/Base
    people: []
  learning: {}
"""
    problem = await put(identity, text, 422)
    assert [(each["pointer"], each["line"]) for each in problem["errors"]] == [
        ("/sections/learning", 6),
        ("/sections/identity/time_zone", 4),
    ]
    text = """\
blueprint: broken
sections:
  identity:
    org_units:
      - {slug: a, parent: c}
      - {slug: b}
      - {slug: b}
"""
    problem = await put(identity, text, 422)
    assert [each["line"] for each in problem["errors"]] == [7, 5]
    text = """\
blueprint: broken
sections:
  identity:
    org_units:
      - {slug: a}
      - {slug: b}
    people:
      - slug: one
        display_name: One
        external_ids: [{source: s, external_id: x}]
        memberships: [{org_unit: a}, {org_unit: b}]
      - slug: two
        display_name: Two
        external_ids: [{source: s, external_id: x, valid_from: 2026-01-01}]
        memberships:
          - {org_unit: gone}
      - slug: two
        display_name: Twice
      - slug: three
"""
    problem = await put(identity, text, 422)
    found = {each["pointer"].removeprefix("/sections/identity"): each for each in problem["errors"]}
    assert set(found) == {
        "/people/0/memberships/1",
        "/people/0/external_ids/0",
        "/people/1/external_ids/0",
        "/people/1/memberships/0/org_unit",
        "/people/2/slug",
        "/people/3/display_name",
    }
    assert found["/people/1/memberships/0/org_unit"]["line"] == 16
    assert all(each["cure"] for each in problem["errors"])
    assert identity.published == []
    state = await identity.call("boss@demo", "GET", "/tenants/demo")
    assert state["blueprint"] is None
    cycle = {"org_units": [{"slug": "x", "parent": "y"}, {"slug": "y", "parent": "x"}]}
    problem = await identity.put("demo", cycle, 422)
    assert "x → y → x" in problem["errors"][0]["problem"]


async def test_what_is_no_bundle_is_refused_with_its_line(identity):
    await identity.tenant("demo")
    for text, line in (
        ("blueprint: a\nsections: [1\n", 3),
        ("blueprint: a\nblueprint: b\nsections: {}\n", 2),
        ('{"blueprint": "a",\n "sections": {,}}', 2),
        ("- a\n- b\n", 1),
        ("", None),
        ("a: &x [1]\n" + "".join(f"b{n}: &x{n} [{', '.join(['*x'] * 99)}]\n" for n in range(3)), 1),
        ('blueprint: a\nsections: {training: {text: "\\0"}}\n', None),
        ('{"blueprint": "a", "sections": {"training": {"x": NaN}}}', None),
        ("[" * 5000, None),
        ('{"a":' * 500 + "1" + "}" * 500, None),
        ('{"blueprint": "a", "sections": {"training": {"x": 1e999}}}', None),
        ('{"blueprint": "a", "sections": {"training": {"x": ' + "9" * 5000 + "}}}", None),
        ('{"blueprint": "a", "sections": {"training": {"x": "\\ud800"}}}', None),
    ):
        problem = await put(identity, text, 422)
        assert problem["errors"], text
        if line:
            assert problem["errors"][0]["line"] == line, (text, problem)
    assert identity.published == []
    (bomb_base, *bombs) = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
    ]
    problem = await put(identity, "\n".join([bomb_base, *bombs]), 422)
    assert "too many" in problem["errors"][0]["problem"]


async def test_the_export_is_the_tenant_as_it_is_now_and_makes_it_again(centre):
    await centre.harness.deliver(
        SectionApplied(service="training", version=None, content={"templates": [{"slug": "t", "at": "09:30"}]}),
        tenant="demo",
    )
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"language": "no", "email": "ada@example.org"})
    exported = await centre.call("boss@demo", "GET", "/tenants/demo/blueprint", headers={"accept": "application/yaml"})
    as_json = await centre.call("boss@demo", "GET", "/tenants/demo/blueprint")
    assert yaml.safe_load(exported) == as_json
    assert as_json["blueprint"] == "call-centre"
    assert as_json["sections"]["training"] == {"templates": [{"slug": "t", "at": "09:30"}]}
    assert exported.index("- slug: ada") < exported.index("email: ada@example.org")

    await centre.tenant("copy")
    await put(centre, exported, tenant="copy")
    (published,) = centre.bodies(BlueprintPublished)
    assert published.sections == as_json["sections"]
    await centre.harness.deliver(
        SectionApplied(service="training", version=1, content=published.sections["training"]), tenant="copy"
    )
    copied = await centre.call("boss@copy", "GET", "/tenants/copy/blueprint")
    assert copied == as_json
    assert (await put(centre, exported, tenant="copy"))["published"] is False

    first = await centre.call("boss@demo", "GET", "/tenants/demo/blueprint?version=1")
    assert "training" not in first["sections"]
    await centre.call("boss@demo", "GET", "/tenants/demo/blueprint?version=2", 404)


async def test_the_tenants_state_shows_how_far_each_service_is(centre, section):
    async def states() -> dict[str, tuple]:
        state = await centre.call("boss@demo", "GET", "/tenants/demo")
        return {name: (each["status"], each["applied_version"]) for name, each in state["services"].items()}

    await centre.put("demo", section, training={"rules": []}, forms={"forms": []}, ingest={"sources": []})
    statuses = await states()
    assert statuses["identity"] == ("applied", 2)
    assert statuses["training"] == statuses["forms"] == ("pending", None)
    assert statuses["gamification"] == ("not_in_blueprint", None)

    problem = SectionProblem(pointer="/forms/0", problem="no questions", cure="add one")
    deliver = centre.harness.deliver
    await deliver(SectionApplied(service="training", version=2, content={"rules": []}), tenant="demo")
    await deliver(SectionRejected(service="forms", version=2, problems=[problem]), tenant="demo")
    statuses = await states()
    assert (statuses["training"], statuses["forms"]) == (("applied", 2), ("rejected", None))
    state = await centre.call("root@platform", "GET", "/tenants/demo")
    assert state["services"]["forms"]["problems"] == [problem.model_dump()]

    # A late answer to an older blueprint, and one that was delivered before, take nothing back.
    await deliver(SectionApplied(service="training", version=1, content={"old": []}), tenant="demo")
    await deliver(SectionRejected(service="training", version=2, problems=[problem]), tenant="demo")
    await deliver(SectionApplied(service="forms", version=2, content={"forms": [1]}), tenant="demo")
    statuses = await states()
    assert (statuses["training"], statuses["forms"], statuses["ingest"]) == (
        ("applied", 2),
        ("applied", 2),
        ("pending", None),
    )
    exported = await centre.call("boss@demo", "GET", "/tenants/demo/blueprint")
    assert exported["sections"]["training"] == {"rules": []}
    assert exported["sections"]["forms"] == {"forms": [1]}


async def test_answers_of_two_tenants_in_one_batch_stay_apart(centre):
    await centre.tenant("twin")
    for tenant, content in (("demo", {"a": 1}), ("twin", {"b": 2})):
        await centre.harness.deliver(SectionApplied(service="forms", version=None, content=content), tenant=tenant)
    for tenant, content in (("demo", {"a": 1}), ("twin", {"b": 2})):
        exported = await centre.call(f"boss@{tenant}", "GET", f"/tenants/{tenant}/blueprint")
        assert exported["sections"]["forms"] == content


async def test_a_unit_with_members_cannot_be_switched_off_by_a_bundle(centre):
    problem = await centre.put("demo", {"org_units": [{"slug": "team-1", "active": False}]}, 422)
    assert any("switched off" in each["problem"] for each in problem["errors"])
    problem = await centre.put("demo", {"org_units": [{"slug": "site-a", "active": False}]}, 422)
    assert "below it" in problem["errors"][0]["problem"]


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, '{"a":' * 100_000, "a: " + "{b: " * 100_000])
async def test_a_bundle_nested_without_end_is_refused_and_ends_no_process(identity, text: str):
    await identity.tenant("demo")
    problem = await put(identity, text, 422)
    assert problem["type"] == "urn:uplift:problem:unreadable-document"
    assert "nested too deeply" in problem["detail"]
