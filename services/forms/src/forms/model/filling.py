"""Filling in a form: which questions show, and whether their answers are valid."""

from dataclasses import dataclass
from typing import Any

from servicekit.errors import FieldProblem

from forms.model import limits
from forms.model.definition import FormDefinition
from forms.model.json_schema import answer_problems
from forms.model.logic import evaluate_condition


@dataclass(frozen=True)
class FilledForm:
    """`answers`: those of shown questions only. `shown`: names of the shown questions, answered or not."""

    answers: dict[str, Any]
    shown: frozenset[str]
    problems: list[FieldProblem]


def fill_form(form: FormDefinition, answers: dict[str, Any]) -> FilledForm:
    """Decides which questions show, and validates their answers. `answers`: by question; None is no answer. Pointers of
    problems start at the answers."""
    if problem := limits.shape_problem(answers, max_bytes=limits.ANSWERS_BYTES):
        too_large = FieldProblem(problem=f"The answers cannot be taken: {problem}.", cure="shorten them")
        return FilledForm({}, frozenset(), [too_large])
    answered = {name: value for name, value in answers.items() if value is not None}
    sections = form.sections_by_question()
    shown_answers: dict[str, Any] = {}
    shown: set[str] = set()
    for name in form.sort_questions():
        conditions = [form.logic.questions.get(name), form.logic.sections.get(sections.get(name, ""))]
        if all(evaluate_condition(each, shown_answers) for each in conditions if each is not None):
            shown.add(name)
            if name in answered:
                shown_answers[name] = answered[name]
    unknown = {name: value for name, value in answered.items() if name not in form.questions}
    problems = answer_problems(form.answers_schema, shown, shown_answers | unknown)
    return FilledForm(
        {name: shown_answers[name] for name in form.questions if name in shown_answers}, frozenset(shown), problems
    )
