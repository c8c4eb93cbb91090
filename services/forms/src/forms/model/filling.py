"""A form filled in: which questions show, and whether the answers to them hold."""

from dataclasses import dataclass
from typing import Any

from servicekit.errors import FieldProblem

from forms.model import limits
from forms.model.definition import FormDefinition
from forms.model.json_schema import answer_problems
from forms.model.logic import evaluate_condition


@dataclass(frozen=True)
class FilledForm:
    """`answers` holds those of shown questions only: what was typed before a question went away does not count."""

    answers: dict[str, Any]
    shown: frozenset[str]
    problems: list[FieldProblem]


def fill_form(form: FormDefinition, answers: dict[str, Any]) -> FilledForm:
    """`answers` by question; null is no answer. Problems point into the answers."""
    if problem := limits.shape_problem(answers, max_bytes=limits.ANSWERS_BYTES):
        too_large = FieldProblem(problem=f"The answers cannot be taken: {problem}.", cure="shorten them")
        return FilledForm({}, frozenset(), [too_large])
    given = {name: value for name, value in answers.items() if value is not None}
    sections = form.sections_by_question()
    kept: dict[str, Any] = {}
    shown: set[str] = set()
    for name in form.sort_questions():
        conditions = [form.logic.questions.get(name), form.logic.sections.get(sections.get(name, ""))]
        if all(evaluate_condition(each, kept) for each in conditions if each is not None):
            shown.add(name)
            if name in given:
                kept[name] = given[name]
    unknown = {name: value for name, value in given.items() if name not in form.questions}
    problems = answer_problems(form.answers_schema, shown, kept | unknown)
    return FilledForm({name: kept[name] for name in form.questions if name in kept}, frozenset(shown), problems)
