"""A dry run of a blueprint keeps its word: every service is asked, nothing is done, and what it promises is what happens."""

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from all_in_one.main import app
from storage.embedded import EmbeddedPostgres
from typer.testing import CliRunner

from tests.flow.scenario import blueprint
from tests.flow.steps import set_up_tenant, user
from tests.flow.suite import Embedded

TENANT = "dry"
BOSS = user("boss", TENANT)
PATH = f"/api/identity/v1/tenants/{TENANT}/blueprint"
FORM: dict[str, Any] = {
    "form": "review", "title": {"en": "Review"}, "kind": "evaluation", "about": "agent",
    "schema": {"type": "object", "properties": {"greeting": {"enum": ["yes", "no"]}}},
    "sections": [{"section": "opening", "questions": ["greeting"]}],
    "scoring": {"questions": {"greeting": {"points": {"yes": 1, "no": 0}}}},
}  # fmt: skip
REVIEWED: dict[str, Any] = {
    "kpi": "greeted", "title": {"en": "Greeted"}, "unit": "percent", "direction": "higher_is_better",
    "source": "submissions", "where": "form = 'review' and attributes.greeting is not null",
    "value": "100 * sum(case when attributes.greeting = 'yes' then 1 else 0 end) / count(*)",
}  # fmt: skip


@pytest.fixture(scope="module")
def suite(started: Embedded) -> Embedded:
    set_up_tenant(started, TENANT)
    return started


def put(suite: Embedded, bundle: dict[str, Any] | str, expect: int = 200, **params: Any) -> Any:
    text = bundle if isinstance(bundle, str) else yaml.safe_dump(bundle, sort_keys=False)
    answer = suite.request(BOSS, "PUT", PATH, params=params, content=text, headers={"content-type": "application/yaml"})
    assert answer.status_code == expect, answer.text
    return answer.json()


def current(suite: Embedded) -> dict[str, Any]:
    return suite.call(BOSS, "GET", PATH)


def tables(suite: Embedded) -> dict[str, str]:
    """A digest of each table of each service, the outboxes among them, and of the broker's log."""
    found: dict[str, str] = {}
    with psycopg.connect(EmbeddedPostgres(suite.data).dsn.replace("/postgres", "/uplift")) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'oidc')"
        ).fetchall()
        for schema, table in names:
            rows = connection.execute(f'SELECT t::text FROM "{schema}"."{table}" t').fetchall()  # pyright: ignore
            lines = "\n".join(sorted(row[0] for row in rows))
            found[f"{schema}.{table}"] = hashlib.sha256(lines.encode()).hexdigest()
    return found


def edited(suite: Embedded) -> dict[str, Any]:
    """Something created, changed and removed wherever that can be."""
    bundle = deepcopy(current(suite))
    sections = bundle["sections"]
    sections["identity"] = {"org_units": [{"slug": "team-c", "name": "Team C", "parent": "site"}]}
    sections["ingest"]["sources"].append({"source": "old-pbx", "vendor": "amazon-connect"})
    kpis = sections["kpi-engine"]["kpis"]
    sections["kpi-engine"]["kpis"] = [each for each in kpis if each["kpi"] != "aht"] + [REVIEWED]
    next(each for each in kpis if each["kpi"] == "silence_pct")["min_sample"] = 5
    basics = sections["training"]["templates"][0]
    sections["training"]["templates"] = [{**basics, "minutes": 4}, {**basics, "template": "more"}]
    sections["training"]["rules"] = [{**sections["training"]["rules"][0], "rule": "anew"}]
    rules = {each["rule"]: each for each in sections["gamification"]["rules"]}
    sections["gamification"]["rules"] = [{**rules["left-coach"], "points": 90}]
    sections["forms"]["forms"] = [FORM]
    sections["notification"]["rules"].append(
        {"rule": "of-silence", "on": "band.entered", "to": "leads", "when": {"kpi": "silence_pct", "band": "coach"}}
    )
    sections["notification"]["texts"] = {"band.entered": {"en": {"subject": "{{ kpi }}", "body": "{{ band }}"}}}
    return bundle


def test_a_dry_run_says_what_changes_without_effect_and_publishing_does_just_that(suite: Embedded) -> None:
    bundle = edited(suite)
    suite.wait_until_idle()
    before, known = tables(suite), current(suite)["sections"]
    dry = put(suite, bundle, dry_run=True)
    suite.wait_until_idle()
    assert tables(suite) == before

    def of(created: list[str], changed: list[str], removed: list[str]) -> dict[str, list[str]]:
        return {"created": created, "changed": changed, "removed": removed}

    assert dry["changes"] == {
        "identity": {"org_units": of(["team-c"], [], [])},
        "ingest": {"sources": of(["old-pbx"], [], [])},
        "kpi-engine": {"kpis": of(["greeted"], ["silence_pct"], ["aht"])},
        "training": {"templates": of(["more"], ["silence-basics"], []), "rules": of(["anew"], [], ["silence-coach"])},
        "gamification": {"rules": of([], ["left-coach"], ["trained"])},
        "forms": {"forms": of(["review"], [], [])},
        "notification": {"rules": of(["of-silence"], [], []), "texts": of(["band.entered"], [], [])},
    }
    assert dry["unchecked"] == []

    assert put(suite, bundle) == {**dry, "dry_run": False}
    suite.wait_until_idle()
    state = suite.call(BOSS, "GET", f"/api/identity/v1/tenants/{TENANT}")["services"]
    assert {each["status"] for each in state.values()} == {"applied"}
    now = current(suite)["sections"]
    for service, parts in dry["changes"].items():
        for part, changes in parts.items():
            was, became = by_name(known[service].get(part, {})), by_name(now[service].get(part, {}))
            assert sorted(became.keys() - was.keys()) == changes["created"], (service, part)
            assert sorted(was.keys() - became.keys()) == changes["removed"], (service, part)
            differ = sorted(name for name in was.keys() & became.keys() if was[name] != became[name])
            assert differ == changes["changed"], (service, part)
    assert put(suite, bundle, dry_run=True, again=True)["changes"] == {}


def by_name(part: Any) -> dict[str, Any]:
    if isinstance(part, dict):
        return part
    keys = ("slug", "rule", "template", "form", "kpi", "source")
    return {next(each[key] for key in keys if key in each): each for each in part}


NONSENSE = """\
blueprint: nonsense
sections:
  identity:
    people:
      - {slug: zoe, display_name: Zoe, external_ids: [{source: amazon-conect, external_id: zoe}]}
  kpi-engine:
    kpis:
      - kpi: silence_pct
        title: {en: Silence}
        unit: percent
        direction: lower_is_better
        source: legs
        where: source = 'amazon-conect'
        value: 100 * sum(silence()) / sum(conversation_ms)
        bands:
          edges: [{name: good, from: 0}, {name: coach, from: 60}]
        targets:
          - when: org_unit = 'taem-a'
            edges: [{name: good, from: 0}, {name: coach, from: 70}]
          - when: role = 'agnet' and tenure_days < 9
            edges: [{name: good, from: 0}, {name: coach, from: 70}]
      - kpi: greeted
        title: {en: Greeted}
        unit: count
        direction: higher_is_better
        source: submissions
        where: form = 'reviw'
        value: count(*)
      - kpi: asked
        title: {en: Asked}
        unit: count
        direction: higher_is_better
        source: submissions
        where: form = 'survey' and attributes.gretting = 'yes'
        value: count(*)
  training:
    templates:
      - {template: basics, kind: reading, title: {en: Basics}, body: {en: Read.}}
    rules:
      - {rule: one, kpi: silense_pct, band: coach, template: basics}
      - {rule: two, kpi: silence_pct, band: coahc, template: basics}
      - {rule: three, kpi: silence_pct, band: coach, template: basic}
  gamification:
    rules:
      - {rule: left, kind: band_left, title: {en: L}, kpi: silence_pct, from_bands: [coach, critical], points: 1}
      - {rule: better, kind: improvement, title: {en: B}, kpi: ath, points: 1, min_improvement: 1}
      - {rule: done, kind: training_completed, title: {en: D}, template: basisc, points: 1}
    leaderboards:
      - {leaderboard: ours, title: {en: Ours}, org_unit: team-x}
  forms:
    forms:
      - {form: survey, title: {en: S}, kind: note, about: none, schema: {type: object, properties: {greeting: {type: boolean}}}}
  notification:
    rules:
      - {rule: a, on: band.entered, to: leads, when: {kpi: silence, band: coach}}
      - {rule: b, on: band.entered, to: leads, when: {kpi: silence_pct, band: [coach, bad]}}
      - {rule: c, on: assignment.assigned, to: agent, when: {template: basicz, rule: onee}}
      - {rule: d, on: points.granted, to: agent, when: {rule: levt}}
      - {rule: e, on: form.published, to: "role:trainer", when: {form: survye}}
"""
WRONG = {  # pointer: line, and the name that was meant
    "/sections/identity/people/0/external_ids/0/source": (5, "amazon-connect"),
    "/sections/kpi-engine/kpis/0/where": (13, "amazon-connect"),
    "/sections/kpi-engine/kpis/0/targets/0/when": (18, "team-a"),
    "/sections/kpi-engine/kpis/0/targets/1/when": (20, "agent"),
    "/sections/kpi-engine/kpis/1/where": (27, ""),
    "/sections/kpi-engine/kpis/2/where": (34, "greeting"),
    "/sections/training/rules/0/kpi": (40, "silence_pct"),
    "/sections/training/rules/1/band": (41, "coach"),
    "/sections/training/rules/2/template": (42, "basics"),
    "/sections/gamification/rules/0/from_bands/1": (45, ""),
    "/sections/gamification/rules/1/kpi": (46, ""),
    "/sections/gamification/rules/2/template": (47, "basics"),
    "/sections/gamification/leaderboards/0/org_unit": (49, "team-c"),
    "/sections/notification/rules/0/when/kpi": (55, "silence_pct"),
    "/sections/notification/rules/1/when/band/1": (56, ""),
    "/sections/notification/rules/2/when/template": (57, "basics"),
    "/sections/notification/rules/2/when/rule": (57, "one"),
    "/sections/notification/rules/3/when/rule": (58, "left"),
    "/sections/notification/rules/4/when/form": (59, "survey"),
}


@pytest.mark.parametrize("dry_run", [True, False])
def test_names_that_lead_nowhere_are_refused_wherever_they_stand(suite: Embedded, dry_run: bool) -> None:
    before = current(suite)
    problem = put(suite, NONSENSE, 422, dry_run=dry_run)
    found = {each["pointer"]: each for each in problem["errors"]}
    assert {pointer: each["line"] for pointer, each in found.items()} == {
        pointer: line for pointer, (line, _) in WRONG.items()
    }
    for pointer, (_, meant) in WRONG.items():
        assert f"`{meant}`" in found[pointer]["cure"] if meant else found[pointer]["cure"], found[pointer]
    assert current(suite) == before


def test_what_is_in_force_elsewhere_keeps_what_it_names(suite: Embedded) -> None:
    section = deepcopy(current(suite)["sections"]["kpi-engine"])
    section["kpis"] = [each for each in section["kpis"] if each["kpi"] != "silence_pct"]
    problem = put(suite, {"blueprint": "less", "sections": {"kpi-engine": section}}, 422)
    pointers = {each["pointer"] for each in problem["errors"]}
    assert {"/sections/training/rules/0/kpi", "/sections/gamification/rules/0/kpi"} <= pointers
    assert all("takes away" in each["problem"] for each in problem["errors"])


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("training/v1/rules/x", {"rule": "x", "kpi": "k", "band": "coach", "template": "silence-basics"}, "/kpi"),
        ("training/v1/rules", {"rules": [{"rule": "x", "kpi": "silence_pct", "band": "c", "template": "silence-basics"}]}, "/rules/0/band"),
        ("gamification/v1/rules/x", {"rule": "x", "kind": "band_left", "title": {"en": "X"}, "kpi": "silence_pct", "from_bands": ["c"], "points": 1}, "/from_bands/0"),
        ("gamification/v1/rules/x", {"rule": "x", "kind": "training_completed", "title": {"en": "X"}, "template": "t", "points": 1}, "/template"),
        ("gamification/v1/leaderboards/x", {"leaderboard": "x", "title": {"en": "X"}, "org_unit": "nowhere"}, "/org_unit"),
        ("notification/v1/rules", {"rules": [{"rule": "x", "on": "band.entered", "to": "leads", "when": {"kpi": "k"}}]}, "/rules/0/when/kpi"),
        ("kpi-engine/v1/kpis/greeted?dry_run=true", {**REVIEWED, "where": "form = 'nothing'"}, "/where"),
        ("kpi-engine/v1/kpis/greeted", {**REVIEWED, "where": "form = 'nothing'"}, "/where"),
    ],
)  # fmt: skip
def test_a_single_edit_that_names_what_is_not_there_is_refused(
    suite: Embedded, path: str, body: dict[str, Any], pointer: str
) -> None:
    answer = suite.request(BOSS, "PUT", f"/api/{path}", json=body)
    assert (answer.status_code, [each["pointer"] for each in answer.json().get("errors", [])]) == (422, [pointer]), (
        answer.text
    )


def test_the_command_tells_places_and_publishes(suite: Embedded, tmp_path: Path) -> None:
    def run(command: str, text: str) -> tuple[int, str]:
        file = tmp_path / "b.yaml"
        file.write_text(text)
        options = ["--url", suite.url, "--token", suite.token(BOSS)]
        told = CliRunner().invoke(app, ["blueprint", command, *options, str(file)])
        return told.exit_code, told.output.replace(str(tmp_path), "")

    for command in ("check", "publish"):
        status, told = run(command, NONSENSE)
        assert status == 2
        assert "/b.yaml:13:9: /sections/kpi-engine/kpis/0/where: there is no source `amazon-conect`; did you" in told
    assert run("check", "blueprint: [") == (2, run("check", "blueprint: [")[1])
    bundle = current(suite)
    bundle["sections"] = {"training": bundle["sections"]["training"]}
    bundle["sections"]["training"]["rules"][0]["due_days"] = 3
    status, told = run("check", yaml.safe_dump(bundle))
    assert (status, "training: rules: changed" in told, "would become version" in told) == (0, True, True)
    assert run("publish", yaml.safe_dump(bundle))[0] == 0
    assert current(suite)["sections"]["training"]["rules"][0]["due_days"] == 3


def test_the_blueprint_of_the_other_tests_is_without_problems(suite: Embedded) -> None:
    suite.call("platform", "POST", "/api/identity/v1/tenants", json={"slug": "dry-two", "name": "Two"})
    path = "/api/identity/v1/tenants/dry-two/blueprint"
    report = suite.call("platform", "PUT", path, params={"dry_run": True}, json=blueprint())
    assert report["changes"]["kpi-engine"]["kpis"]["created"] == ["aht", "silence_pct"]
