"""The demo blueprint against the services' own checks, and its dates."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pytest
import yaml
from contracts import ALL_SERVICES, new_id
from contracts.directory import TenantChanged
from forms.model import FormsSection
from gamification.model.section import Section as GamificationSection
from gamification.model.section import find_contradictions as find_gamification_contradictions
from identity.model.blueprints import plan_section, validate_bundle
from identity.model.documents import parse_yaml
from ingest.model import sources
from kpi_engine.model.bands import Bands
from kpi_engine.model.document import parse_model_content
from kpi_engine.model.targets import PersonOnDay
from notification.model.rules import NotificationSection, rule_problems
from notification.model.texts import DEFAULT_TEXTS
from simulator import FIRST_DAY_ATTRIBUTE, demo
from training.model.content import score_attempt
from training.model.section import Section as TrainingSection
from training.model.section import find_contradictions as find_training_contradictions

START = date(2026, 3, 2)


@pytest.fixture(scope="module")
def sections(bundle):
    return bundle["sections"]


def person(sections, login):
    return next(each for each in sections["identity"]["people"] if each.get("login") == login)


def attribute(person, name):
    return next(each["value"] for each in person["attributes"] if each["name"] == name)


def test_every_service_has_a_section_and_identity_takes_the_bundle(bundle):
    found, section, problems = validate_bundle(bundle)
    assert problems == []
    assert found is not None
    assert section is not None
    assert set(found.sections) == set(ALL_SERVICES)
    plan = plan_section(
        section,
        tenant=TenantChanged(slug=demo.TENANT, name=demo.TENANT_NAME, simulated=True),
        units=[],
        people={},
        now=demo.tenant_start_time(START),
        issuer="http://127.0.0.1:8080/oidc",
        new_id=new_id,
    )
    assert plan.problems == []
    assert len(plan.units) == 4
    assert len(plan.people) == 37


def test_ingest_takes_its_sources(sections):
    for each in sources.Section.model_validate(sections["ingest"]).sources:
        made = sources.build_source(each.source, each)
        assert made.slug == made.vendor == each.source


def test_kpi_engine_takes_its_models(sections):
    models = {content["kpi"]: parse_model_content(content) for content in sections["kpi-engine"]["kpis"]}
    assert set(models) >= {"silence_pct", "aht", "talk", "hold", "acw", "transfer_rate", "abandonment"}
    bands = models["silence_pct"].bands
    assert isinstance(bands, Bands)
    veteran, newcomer = (PersonOnDay(hire_date=date(2025, 1, 1), day=START), PersonOnDay(hire_date=START, day=START))
    assert [(band.name, band.start) for band in bands.edges_for(veteran)[0]][2:] == [("coach", 60), ("critical", 70)]
    assert [(band.name, band.start) for band in bands.edges_for(newcomer)[0]][2:] == [("coach", 70), ("critical", 80)]


def test_training_takes_its_section_and_its_rules_lead_from_bands_that_exist(sections):
    section = TrainingSection.model_validate(sections["training"])
    assert find_training_contradictions(section) == []
    bands = {
        (content["kpi"], edge["name"])
        for content in sections["kpi-engine"]["kpis"]
        for edge in content.get("bands", {}).get("edges", [])
    }
    assert {(rule.kpi, rule.band) for rule in section.rules} == {("silence_pct", "coach"), ("silence_pct", "critical")}
    assert {(rule.kpi, rule.band) for rule in section.rules} <= bands
    assert {template.kind for template in section.templates} == {"reading", "quiz", "task"}
    for template in section.templates:
        assert set(template.title) == set(template.body) == {"en", "zh"}
        for question in template.quiz.questions if template.quiz else []:
            assert set(question.text) == {"en", "zh"}


def test_the_quiz_is_passed_with_four_of_five_right(sections):
    quiz = TrainingSection.model_validate(sections["training"]).templates[1].quiz
    assert quiz is not None
    right = {question.id: sorted(question.correct) for question in quiz.questions}
    assert score_attempt(quiz, right).percent == 100
    assert score_attempt(quiz, right | {"hold": ["never"]}).passed
    assert not score_attempt(quiz, right | {"hold": ["never"], "not-you": ["live-with-it"]}).passed


def test_gamification_takes_its_section(sections):
    section = GamificationSection.model_validate(sections["gamification"])
    assert find_gamification_contradictions(section) == []
    assert {rule.kind for rule in section.rules} == {"band_left", "training_completed", "improvement"}
    assert section.leaderboards


def test_forms_takes_its_section(sections):
    section = FormsSection.model_validate(sections["forms"])
    assert section.problems() == []


def test_notification_takes_its_section(sections):
    section = NotificationSection.model_validate(sections["notification"])
    assert section.rules is not None
    assert list(rule_problems(section.rules, set(DEFAULT_TEXTS))) == []


def test_the_bundle_is_plain_json_and_every_date_is_placed(bundle):
    text = json.dumps(bundle)
    assert json.loads(text) == bundle
    assert "day(" not in text


def test_the_file_means_the_same_to_the_api():
    text = resources.files(demo).joinpath("blueprint.yaml").read_text(encoding="utf-8")
    assert parse_yaml(text) == yaml.safe_load(text)


def test_dates_move_with_the_start(sections):
    later = demo.load_blueprint(date(2026, 3, 9))["sections"]
    assert attribute(person(sections, "agent"), "hire_date") == "2022-03-03"
    assert attribute(person(later, "agent"), "hire_date") == "2022-03-10"
    machine = person(sections, f"client:{demo.PHONE_SYSTEM}")
    assert attribute(machine, FIRST_DAY_ATTRIBUTE) == "2026-03-02"
    assert machine["kind"] == "machine"
    assert machine["roles"] == [{"role": "integration"}]


def test_history_begins_on_a_monday_eight_whole_weeks_ago():
    for today in (date(2026, 4, 27), date(2026, 5, 1), date(2026, 5, 3)):
        assert demo.history_start(today) == START
    assert demo.tenant_start_time(START) == datetime(2026, 3, 2, 4, tzinfo=UTC)


def test_thirty_agents_in_three_teams_some_of_them_new(sections):
    agents = [each for each in sections["identity"]["people"] if each["roles"][0]["role"] == "agent"]
    assert Counter(each["roles"][0]["org_unit"] for each in agents) == {
        "billing": 10,
        "technical-support": 10,
        "sales": 10,
    }
    tenure = [(date(2026, 4, 27) - date.fromisoformat(attribute(each, "hire_date"))).days for each in agents]
    assert sum(days < 90 for days in tenure) == 6
    for each in agents:
        assert {known["source"] for known in each["external_ids"]} == {"amazon-connect", "generic"}
        assert each["memberships"][0]["org_unit"] == each["roles"][0]["org_unit"]


def test_the_demo_lead_leads_the_demo_agent(sections):
    lead, agent = person(sections, "lead"), person(sections, "agent")
    assert lead["roles"] == [{"role": "team_lead", "org_unit": agent["roles"][0]["org_unit"]}]
    hired = date.fromisoformat(attribute(agent, "hire_date"))
    assert (START - hired).days > 90


def test_everybody_who_signs_in_has_an_account(bundle):
    accounts = demo.accounts(bundle)
    assert len(accounts) == len({each.username for each in accounts}) == 36
    assert {each.username for each in accounts if each.listed} == set(demo.LOGINS)


def test_the_example_in_the_documentation_is_taken_by_every_service():
    page = Path(__file__).parents[3] / "docs" / "blueprint.md"
    example = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    found, _, problems = validate_bundle(parse_yaml(example))
    assert problems == []
    assert found is not None
    assert set(found.sections) == set(ALL_SERVICES)
    for each in sources.Section.model_validate(found.sections["ingest"]).sources:
        sources.build_source(each.source, each)
    for content in found.sections["kpi-engine"]["kpis"]:
        parse_model_content(content)
    assert find_training_contradictions(TrainingSection.model_validate(found.sections["training"])) == []
    gamification = GamificationSection.model_validate(found.sections["gamification"])
    assert find_gamification_contradictions(gamification) == []
    assert FormsSection.model_validate(found.sections["forms"]).problems() == []
    rules = NotificationSection.model_validate(found.sections["notification"]).rules
    assert rules is not None
    assert list(rule_problems(rules, set(DEFAULT_TEXTS))) == []
