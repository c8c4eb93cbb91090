"""The pure rules, on examples worked by hand."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError
from servicekit.errors import Invalid
from servicekit.validation_problems import find_validation_problems
from training.model.content import Content, Quiz, render_for_learner, render_without_answers, score_attempt
from training.model.effect import Stay, compute_effect, window_end_day
from training.model.rules import EarlierAssignment, Rule, find_skip_reason, sort_by_priority
from training.model.section import Section, find_contradictions

NOW = datetime(2026, 3, 4, 8, tzinfo=UTC)
ADA, BEN, CEM = (UUID(int=number) for number in (1, 2, 3))


def choice(name, correct=False):
    return {"id": name, "text": {"en": name}, "correct": correct}


def question(name, kind="single", points=1, right=("a",)):
    choices = [choice(each, each in right) for each in "abc"]
    return {"id": name, "kind": kind, "text": {"en": name}, "points": points, "choices": choices}


def quiz(**fields):
    questions = [question("one", points=3), question("two", "multi", points=2, right=("a", "b"))]
    return Quiz.model_validate({"pass_percent": 60, "questions": questions} | fields)


@pytest.mark.parametrize(
    "answers, percent, passed",
    [
        ({"one": ["a"], "two": ["b", "a"]}, 100, True),
        ({"one": ["a"]}, 60, True),  # 3 of 5 points
        ({"one": ["a"], "two": ["a"]}, 60, True),  # half of a multi is nothing
        ({"one": ["a"], "two": ["a", "b", "c"]}, 60, True),
        ({"two": ["a", "b"]}, 40, False),
        ({}, 0, False),
    ],
)
def test_a_quiz_is_scored(answers, percent, passed):
    result = score_attempt(quiz(), answers)
    assert (result.percent, result.passed) == (percent, passed)


def test_rounding_down_never_shows_a_pass_that_is_none():
    thirds = quiz(pass_percent=67, questions=[question("one", points=2), question("two", points=1)])
    result = score_attempt(thirds, {"one": ["a"]})  # 66.67 %
    assert (result.percent, result.passed) == (66, False)


@pytest.mark.parametrize("answers", [{"three": ["a"]}, {"one": ["z"]}, {"one": ["a", "b"]}])
def test_answers_that_belong_to_no_question_are_refused(answers):
    with pytest.raises(Invalid) as caught:
        score_attempt(quiz(), answers)
    (problem,) = caught.value.errors
    assert problem.pointer == f"/answers/{next(iter(answers))}"
    assert problem.cure


@pytest.mark.parametrize(
    "broken",
    [
        {"questions": [question("one", right=())]},
        {"questions": [question("one", right=("a", "b"))]},
        {"questions": [question("one", "multi", right=())]},
        {"questions": [question("one"), question("one")]},
        {"questions": []},
        {"pass_percent": 0},
    ],
)
def test_a_quiz_that_cannot_be_answered_is_refused(broken):
    with pytest.raises(ValidationError):
        quiz(**broken)


def test_what_a_learner_sees_holds_no_answers():
    content = Content(kind="quiz", title={"en": "T", "zh": "题"}, body={"en": "B"}, quiz=quiz())
    shown = render_for_learner(content, ["zh", "en"])
    assert shown["title"] == "题"
    assert shown["body"] == "B"
    assert "correct" not in str(shown)
    assert "correct" not in str(render_without_answers(content))
    assert "correct" in str(content.model_dump())


@pytest.mark.parametrize(
    "fields", [{"kind": "quiz"}, {"kind": "reading", "quiz": quiz()}, {"kind": "reading", "title": {}}]
)
def test_content_that_is_incomplete_is_refused(fields):
    with pytest.raises(ValidationError):
        Content.model_validate({"title": {"en": "T"}, "body": {"en": "B"}} | fields)


RULE = Rule(rule="r", kpi="k", band="coach", template="t", of=None, cooldown_days=14, max_open=2)


def earlier(template="t", status="completed", days=1, corrected=False):
    return EarlierAssignment(template, status, NOW - timedelta(days=days), corrected)


@pytest.mark.parametrize(
    "history, reason",
    [
        ([], None),
        ([earlier(days=13)], "cooldown"),
        ([earlier(days=14)], None),
        ([earlier(days=20), earlier(days=3, status="withdrawn")], "cooldown"),
        ([earlier(days=3, status="withdrawn", corrected=True)], None),
        ([earlier(days=99, status="started")], "already-open"),
        ([earlier("x", "assigned"), earlier("y", "started")], "max-open"),
        ([earlier("x", "assigned"), earlier("y", "completed"), earlier("z", "withdrawn")], None),
    ],
)
def test_when_a_rule_holds_back(history, reason):
    skip = find_skip_reason(RULE, history, published=True, now=NOW)
    assert (skip and skip.reason) == reason


def test_a_rule_without_a_published_template_holds_back():
    skip = find_skip_reason(RULE, [], published=False, now=NOW)
    assert skip is not None
    assert skip.reason == "template-not-published"


def test_higher_priority_comes_first_and_names_break_ties():
    rules = [
        RULE.model_copy(update={"rule": name, "priority": value}) for name, value in [("c", 0), ("b", 5), ("a", 0)]
    ]
    assert [rule.rule for rule in sort_by_priority(rules)] == ["b", "a", "c"]


def test_a_section_names_every_problem_with_its_place():
    good = {"template": "t", "kind": "reading", "title": {"en": "T"}, "body": {"en": "B"}}
    rule = {"rule": "r", "kpi": "k", "band": "b", "template": "t"}
    section = Section.model_validate({"templates": [good], "rules": [rule]})
    assert find_contradictions(section) == []
    assert section.rules[0].active

    section = Section.model_validate({"templates": [good, good], "rules": [rule, {**rule, "template": "x"}]})
    assert [each.pointer for each in find_contradictions(section)] == [
        "/templates/1/template",
        "/rules/1/rule",
        "/rules/1/template",
    ]
    content = {"templates": [{**good, "colour": "red"}], "rules": [{"rule": "r"}]}
    with pytest.raises(ValidationError) as caught:
        Section.model_validate(content)
    assert {each.pointer for each in find_validation_problems(caught.value, content, Section)} == {
        "/templates/0/colour", "/rules/0/template"
    }  # fmt: skip


@pytest.mark.parametrize(
    "window, day",
    [
        ("2026-03-04", date(2026, 3, 4)),
        ("2026-W10", date(2026, 3, 8)),
        ("last-50#1200", date(2026, 1, 1)),
        ("W", date(2026, 1, 1)),
    ],
)
def test_the_last_day_of_a_window(window, day):
    assert window_end_day(window, date(2026, 1, 1)) == day


def test_effect_on_an_example_worked_by_hand():
    # Ada: coach from 2 March, left 25 March; trained on 11 March. Ben: coach throughout. Cem: good throughout.
    stays = [
        Stay(ADA, "k", "coach", date(2026, 3, 2), date(2026, 3, 25)),
        Stay(ADA, "k", "good", date(2026, 3, 25), None),
        Stay(BEN, "k", "coach", date(2026, 3, 10), None),
        Stay(CEM, "k", "good", date(2026, 3, 2), None),
    ]
    found = compute_effect(
        stays,
        {("k", "coach")},
        {ADA: date(2026, 3, 11)},
        first=date(2026, 3, 4),
        last=date(2026, 4, 30),
        today=date(2026, 3, 31),
    )
    weeks = [
        (w.window, w.trained.agents, w.trained.in_band, w.untrained.agents, w.untrained.in_band) for w in found.weeks
    ]
    assert weeks == [
        ("2026-W10", 0, 0, 2, 1),  # Sunday 8 March: Ada in the band, Cem not, Ben not known yet
        ("2026-W11", 1, 1, 2, 1),
        ("2026-W12", 1, 1, 2, 1),
        ("2026-W13", 1, 0, 2, 1),
        ("2026-W14", 1, 0, 2, 1),  # the running week, looked at today
    ]
    assert found.weeks[0].trained.share is None
    assert found.weeks[0].untrained.share == 0.5
    assert found.weeks[-1].last == date(2026, 3, 31)
    (ada,) = found.agents
    # 4 March, 11 March, 18 March, 25 March; a week earlier nothing was known, a week later has not come.
    assert ada.in_band == {-1: True, 0: True, 1: True, 2: False}
    by_offset = {each.weeks: (each.agents, each.in_band, each.share) for each in found.around_completion}
    assert by_offset[-4] == (0, 0, None)
    assert by_offset[1] == (1, 1, 1.0)
    assert by_offset[2] == (1, 0, 0.0)
    assert sorted(by_offset) == list(range(-4, 9))
