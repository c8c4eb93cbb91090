"""Definitions, logic and scoring, with expected values calculated by hand."""

import time
from typing import Any

import pytest
from forms.model import FormDefinition, content_hash, event_answers, fill_form, score_submission
from pydantic import ValidationError

FULL = {"greeting": "partly", "complaint": True, "apology": "yes", "solution": 4, "empathy": "yes"}


def score(form, answers):
    filled = fill_form(form, answers)
    assert filled.problems == []
    result = score_submission(form, filled.answers, filled.shown)
    assert result is not None
    return result


@pytest.fixture
def form(call_review):
    made = FormDefinition.model_validate(call_review)
    assert made.problems() == []
    return made


def test_score_of_a_worked_example(form):
    # opening: (10 × 1/2 + 10 × 1) / 20 = 75 %; service: (3 × 3/4 + 1 × 1) / 4 = 81.25 %; (1 × 75 + 3 × 81.25) / 4
    result = score(form, FULL)
    assert [(each.section, each.score) for each in result.sections] == [("opening", 7500), ("service", 8125)]
    assert (result.score, result.automatic_fail) == (7969, False)


def test_questions_that_do_not_apply_leave_the_denominator(form):
    assert score(form, FULL | {"apology": "na"}).sections[0].score == 5000
    hidden = score(form, FULL | {"complaint": False})
    assert hidden.sections[0].score == 5000
    assert {each.question: each.state for each in hidden.sections[0].questions}["apology"] == "hidden"


def test_a_bonus_adds_up_to_100_percent(form):
    assert score(form, FULL | {"extra": True}).sections[1].score == 10000
    assert score(form, FULL | {"extra": True, "solution": 2}).sections[1].score == 6875  # (3 × 1/4 + 1 + 1) / 4


def test_an_answer_can_fail_the_form_or_a_section(form, call_review):
    result = score(form, FULL | {"empathy": "rude"})
    assert (result.score, result.automatic_fail) == (0, True)
    call_review["scoring"]["questions"]["empathy"]["fail"] = {"rude": "section"}
    result = score(FormDefinition.model_validate(call_review), FULL | {"empathy": "rude"})
    assert ([each.score for each in result.sections], result.automatic_fail) == ([7500, 0], False)
    assert result.score == 1875


def test_hidden_questions_are_not_required_and_their_answers_are_dropped(form, call_review):
    call_review["schema"]["required"].append("apology")
    strict = FormDefinition.model_validate(call_review)
    assert [each.pointer for each in fill_form(strict, {**FULL, "apology": None}).problems] == ["/apology"]
    filled = fill_form(strict, {**FULL, "complaint": False})
    assert filled.problems == []
    assert "apology" not in filled.answers


def test_a_section_can_be_hidden(call_review):
    call_review["logic"]["sections"] = {
        "service": {"any": [{"not": {"question": "greeting", "value": "no"}}, {"question": "complaint", "value": True}]}
    }
    form = FormDefinition.model_validate(call_review)
    assert form.problems() == []
    result = score(form, {"greeting": "no", "complaint": False})
    assert [(each.section, each.score) for each in result.sections] == [("opening", 0), ("service", None)]
    assert result.score == 0


def test_there_is_no_score_when_nothing_applies():
    form = FormDefinition.model_validate(
        {
            "form": "x", "title": {"en": "X"}, "kind": "note",
            "schema": {"type": "object", "properties": {"q": {"enum": ["y", "na"]}}},
            "sections": [{"section": "s", "questions": ["q"]}],
            "scoring": {"questions": {"q": {"points": {"y": 1}, "not_applicable": ["na"]}}},
        }
    )  # fmt: skip
    assert form.problems() == []
    assert score(form, {"q": "na"}).score is None
    assert score(form, {}).score is None
    assert score(form, {"q": "y"}).score == 10000


def test_points_of_several_choices_are_summed():
    form = FormDefinition.model_validate(
        {
            "form": "x", "title": {"en": "X"}, "kind": "quiz",
            "schema": {"type": "object", "properties": {
                "q": {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b", "c"]}}}},
            "sections": [{"section": "s", "questions": ["q"]}],
            "scoring": {"questions": {"q": {"points": {"a": 1, "b": 2, "c": -2}}}},
        }
    )  # fmt: skip
    assert form.problems() == []
    expected = {("a", "b"): 10000, ("b",): 6667, ("a", "b", "c"): 3333, ("c",): 0}
    assert {each: score(form, {"q": list(each)}).score for each in expected} == expected


def test_every_invalid_answer_has_a_pointer_and_a_cure(form):
    wrong = {"greeting": "perhaps", "complaint": 1, "solution": 6, "remarks": "x" * 51, "mood": 1}
    found = {each.pointer: each for each in fill_form(form, wrong).problems}
    assert set(found) == {"/greeting", "/complaint", "/solution", "/remarks", "/mood", "/empathy"}
    assert found["/greeting"].cure == "one of: yes, partly, no"
    assert found["/solution"].cure == "at most 5"
    assert found["/mood"].cure.startswith("one of: greeting")
    assert all(each.cure for each in found.values())


@pytest.mark.parametrize("answers", [{"greeting": "\x00"}, {"greeting": "\ud800"}, {"remarks": "x" * 300_000}])
def test_answers_that_cannot_be_stored_are_refused(form, answers):
    assert len(fill_form(form, answers).problems) == 1


def problems_with(call_review, **changes):
    return FormDefinition.model_validate(call_review | changes).problems()


def schema_of(**question):
    return {"type": "object", "properties": {"q": question}}


@pytest.mark.parametrize(
    "schema, pointer",
    [
        (schema_of(**{"$ref": "https://example.org/x.json"}), "/schema/properties/q/$ref"),
        (schema_of(**{"$ref": "#/properties/q"}), "/schema/properties/q/$ref"),
        (schema_of(pattern=r"(a+)\1"), "/schema/properties/q/pattern"),
        (schema_of(pattern="a" * 201), "/schema/properties/q/pattern"),
        (schema_of(patternProperties={"^a": {}}), "/schema/properties/q/patternProperties"),
        (schema_of(type="text"), "/schema/properties/q/type"),
        (schema_of(**{"$id": "https://example.org"}), "/schema/properties/q/$id"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"not": {"$ref": "#/$defs/x"}}}},
         "/schema/$defs"),
        ({"type": "object", "properties": {"q": {}}, "if": {}}, "/schema/if"),
        ({"type": "array"}, "/schema"),
        ({"type": "object", "properties": {"q": {}}, "required": ["z"]}, "/schema/required"),
        ({"type": "object", "properties": {"a.b": {}}}, "/schema/properties/a.b"),
    ],
)  # fmt: skip
def test_unsafe_schemas_are_refused(call_review, schema, pointer):
    found = problems_with(call_review, schema=schema, sections=[], logic={}, scoring=None)
    assert [each.pointer for each in found] == [pointer]
    assert found[0].problem
    assert found[0].cure


def test_references_with_exponential_expansion_are_refused(call_review):
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(8)} | {"d8": {}}
    schema = {"type": "object", "properties": {"q": {"$ref": "#/$defs/d0"}}, "$defs": definitions}
    assert [
        each.pointer for each in problems_with(call_review, schema=schema, sections=[], logic={}, scoring=None)
    ] == ["/schema/$defs"]


def test_a_question_may_have_the_name_of_a_keyword(call_review):
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}, "allOf": {"type": "integer"}}}
    assert problems_with(call_review, schema=schema, sections=[], logic={}, scoring=None) == []


def test_a_backtracking_pattern_takes_linear_time(call_review):
    form = FormDefinition.model_validate(
        call_review
        | {"schema": schema_of(type="string", pattern="^(a+)+$"), "sections": [], "logic": {}, "scoring": None}
    )
    assert form.problems() == []
    began = time.perf_counter()
    assert [each.pointer for each in fill_form(form, {"q": "a" * 50_000 + "b"}).problems] == ["/q"]
    assert time.perf_counter() - began < 1
    assert fill_form(form, {"q": "aaa"}).problems == []


def test_unknown_questions_and_sections_are_refused(call_review):
    logic = {
        "questions": {"apology": {"question": "weather", "value": "fine"}},
        "sections": {"x": {"question": "extra", "value": True}},
    }
    assert [each.pointer for each in problems_with(call_review, logic=logic)] == [
        "/logic/questions/apology", "/logic/sections/x",
    ]  # fmt: skip
    sections = [{"section": "s", "questions": ["weather"]}]
    assert [each.pointer for each in problems_with(call_review, sections=sections, scoring=None)] == [
        "/sections/0/questions/0"
    ]


def test_cyclic_conditions_are_refused(call_review):
    logic = {"questions": {
        "greeting": {"question": "apology", "op": "answered"}, "apology": {"question": "greeting", "op": "answered"},
    }}  # fmt: skip
    (found,) = problems_with(call_review, logic=logic)
    assert found.pointer == "/logic"
    assert "greeting → apology" in found.problem or "apology → greeting" in found.problem
    own_section = {"sections": {"opening": {"question": "greeting", "op": "answered"}}}
    assert [each.pointer for each in problems_with(call_review, logic=own_section)] == ["/logic"]


def test_an_operator_requires_a_value_of_its_type(call_review):
    for test in (
        {"op": "is"},
        {"op": "in", "value": "a"},
        {"op": "at_least", "value": "a"},
        {"op": "answered", "value": 1},
    ):
        with pytest.raises(ValidationError, match="takes"):
            problems_with(call_review, logic={"questions": {"apology": {"question": "greeting", **test}}})


def test_deep_nesting_is_refused_early(call_review):
    deep = []
    for _ in range(400):
        deep = [deep]
    (found,) = problems_with(call_review, ui_schema={"x": deep})
    assert "levels" in found.problem


@pytest.mark.parametrize(
    "op, value, answer, expected",
    [
        ("is", 1, 1.0, True), ("is", 1, True, False), ("is_not", "a", None, True), ("in", ["a", "b"], "b", True),
        ("contains", "a", ["b", "a"], True), ("contains", "a", "a", False), ("at_least", 3, 3, True),
        ("at_least", 3, 2.5, False), ("at_most", 3, "1", False), ("answered", None, 0, True), ("unanswered", None, None, True),
    ],
)  # fmt: skip
def test_operators(op, value, answer, expected):
    test = {"question": "q", "op": op} | ({} if value is None else {"value": value})
    form = FormDefinition.model_validate(
        {
            "form": "x", "title": {"en": "X"}, "kind": "note", "logic": {"questions": {"r": test}},
            "schema": {"type": "object", "properties": {"q": {}, "r": {}}},
        }
    )  # fmt: skip
    assert form.problems() == []
    assert ("r" in fill_form(form, {"q": answer}).shown) is expected


def test_scoring_of_unknown_questions_sections_and_options_is_refused(call_review):
    call_review["scoring"]["questions"]["greeting"]["points"]["maybe"] = 1
    call_review["scoring"]["questions"]["weather"] = {"points": {"x": 1}}
    call_review["scoring"]["sections"]["closing"] = {"weight": 1}
    assert {each.pointer for each in problems_with(call_review)} == {
        "/scoring/questions/greeting/points",
        "/scoring/questions/weather",
        "/scoring/sections/closing",
    }


def matrix(row: dict[str, Any], **how: Any) -> FormDefinition:
    """A form of one matrix with the rows a, b and c."""
    return FormDefinition.model_validate(
        {
            "form": "m", "title": {"en": "M"}, "kind": "evaluation",
            "schema": {"type": "object", "properties": {
                "q": {"type": "object", "properties": dict.fromkeys("abc", row)}, "plain": {"enum": ["yes", "no"]},
            }},
            "sections": [{"section": "s", "questions": ["q", "plain"]}],
            "scoring": {"questions": {"q": how, "plain": {"points": {"yes": 2}}}},
        }
    )  # fmt: skip


CHOICES = {"type": "string", "enum": ["always", "often", "never", "na"]}
POINTS = {"points": {"always": 2, "often": 1}, "not_applicable": ["na"]}


@pytest.mark.parametrize(
    "row, how, answer, share, total",
    [
        (CHOICES, POINTS, {"a": "always", "b": "often", "c": "never"}, 5000, (3 + 0) / 8),
        (CHOICES, POINTS, {"a": "always", "b": "always", "c": "always"}, 10000, 6 / 8),
        (CHOICES, POINTS, {"a": "always", "b": "na"}, 10000, 6 / 8),  # rows that do not apply or are unanswered leave the denominator
        (CHOICES, POINTS, {"a": "na", "b": "na", "c": "na"}, None, 0),
        (CHOICES, POINTS, {}, None, 0),
        ({"type": "integer", "minimum": 1, "maximum": 5}, {"scale": {"worst": 1, "best": 5}}, {"a": 5, "b": 1, "c": 3}, 5000, 1.5 / 5),
        ({"type": "array", "items": CHOICES}, POINTS, {"a": ["always", "often"], "b": []}, 5000, 4.5 / 11),
    ],
)  # fmt: skip
def test_each_row_of_a_matrix_is_scored(row, how, answer, share, total):
    form = matrix(row, **how)
    assert form.problems() == []
    filled = fill_form(form, {"q": answer, "plain": "no"})
    assert filled.problems == []
    result = score_submission(form, filled.answers, filled.shown)
    assert result is not None
    assert result.sections[0].questions[0].share == share
    assert result.score == round(total * 10000)


def test_a_row_of_a_matrix_can_fail_the_form():
    form = matrix(CHOICES, **POINTS, fail={"never": "form"})
    filled = fill_form(form, {"q": {"a": "always", "b": "never"}, "plain": "yes"})
    result = score_submission(form, filled.answers, filled.shown)
    assert result is not None
    assert (result.score, result.automatic_fail, result.sections[0].questions[0].fails) == (0, True, "form")


def test_options_of_a_matrix_are_validated_and_its_rows_are_published():
    assert [each.pointer for each in matrix(CHOICES, points={"seldom": 1}).problems()] == [
        "/scoring/questions/q/points"
    ]
    answers = {"q": {"a": "always", "c": "na"}, "plain": "yes"}
    assert event_answers(matrix(CHOICES, **POINTS), answers) == {"q.a": "always", "q.c": "na", "plain": "yes"}


@pytest.mark.parametrize(
    "question", [{"type": "string", "enum": ["1", "2"]}, {"type": "array", "items": {"type": "number"}}]
)
def test_a_scale_is_refused_where_no_number_can_be_answered(question):
    (found,) = matrix(question, scale={"worst": 1, "best": 5}).problems()
    assert found.pointer == "/scoring/questions/q/scale"


def test_content_survives_a_round_trip(form, call_review):
    content = form.content()
    again = FormDefinition.model_validate(content)
    assert content_hash(again.content()) == content_hash(content)
    assert content["logic"]["questions"]["apology"]["all"][0] == {"question": "complaint", "value": True}
    assert content["schema"] == call_review["schema"]


def test_only_numbers_and_choices_are_published(form):
    answers = FULL | {"remarks": "call 555-0100", "extra": True}
    assert event_answers(form, answers) == {
        "greeting": "partly", "complaint": "true", "apology": "yes", "solution": "4", "empathy": "yes", "extra": "true",
    }  # fmt: skip
