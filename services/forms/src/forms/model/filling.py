"""A form filled in: which questions show, and whether the answers to them hold."""

from dataclasses import dataclass
from typing import Any

from servicekit.errors import FieldProblem

from forms.model import limits
from forms.model.definition import FormDefinition
from forms.model.json_schema import answer_problems
from forms.model.logic import holds


@dataclass(frozen=True)
class Filled:
    """`answers` holds those of shown questions only: what was typed before a question went away does not count."""

    answers: dict[str, Any]
    shown: frozenset[str]
    problems: list[FieldProblem]


def fill(form: FormDefinition, answers: dict[str, Any]) -> Filled:
    """`answers` by question; null is no answer. Problems point into the answers."""
    if problem := limits.shape_problem(answers, most_bytes=limits.ANSWERS_BYTES):
        too_large = FieldProblem(problem=f"The answers cannot be taken: {problem}.", cure="shorten them")
        return Filled({}, frozenset(), [too_large])
    given = {name: value for name, value in answers.items() if value is not None}
    sections = form.section_of()
    kept: dict[str, Any] = {}
    shown: set[str] = set()
    for name in form.order():
        conditions = [form.logic.questions.get(name), form.logic.sections.get(sections.get(name, ""))]
        if all(holds(each, kept) for each in conditions if each is not None):
            shown.add(name)
            if name in given:
                kept[name] = given[name]
    unknown = {name: value for name, value in given.items() if name not in form.questions}
    problems = answer_problems(form.answers_schema, shown, kept | unknown)
    return Filled({name: kept[name] for name in form.questions if name in kept}, frozenset(shown), problems)
