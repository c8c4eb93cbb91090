"""The definition of a form, as its author writes it."""

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from contracts.section_names import Names
from pydantic import Field, PlainSerializer, StringConstraints, ValidationError, model_validator
from servicekit.blueprints.checking import SectionCheck, diff_sections
from servicekit.errors import FieldProblem
from servicekit.json_types import is_array, is_object
from servicekit.strict_models import StrictAliasedModel
from servicekit.validation_problems import find_validation_problems

from forms.model import limits
from forms.model.json_schema import json_pointer, one_of, schema_problems
from forms.model.logic import Logic, find_asked_questions

MAX_SECTION_FORMS = 200

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
Language = Literal["en", "zh"]
Title = Annotated[
    dict[Language, Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=2)
]
Number = Annotated[
    Decimal,
    Field(max_digits=12, decimal_places=6),
    PlainSerializer(lambda value: int(value) if value == value.to_integral_value() else float(value), when_used="json"),
]
Weight = Annotated[Number, Field(ge=0, le=1_000_000)]


class Section(StrictAliasedModel):
    """Questions that belong together. A question is in at most one section."""

    section: Name
    title: Title | None = None
    questions: list[str] = Field(min_length=1, max_length=limits.MAX_QUESTIONS)


class Scale(StrictAliasedModel):
    """A number counts from `worst` (nothing) to `best` (everything), in proportion; `best` may be the smaller one."""

    worst: Number
    best: Number

    @model_validator(mode="after")
    def _differ(self) -> "Scale":
        if self.worst == self.best:
            raise ValueError("`worst` and `best` must differ")
        return self


class QuestionScoring(StrictAliasedModel):
    """How the answer to one question counts: by `points` per option, or by a `scale` of numbers.

    An option is written as text: `yes`, `true`, `3`. The share of a question is its points by the most there are (of
    several choices: the sum, by the sum of all that are positive), never below 0. `weight` is what the share counts
    for within the section; left out, it is the most points there are, or 1 with a scale. An answer in
    `not_applicable`, and no answer at all, leaves the denominator. `fail` names the options that fail the section or
    the whole form. Each row of a matrix (a question of type `object`) counts like a question of its own, and the
    matrix's share is the mean of its rows' that apply. `bonus` adds to what is reached but not to what can be reached; no section passes 100 %.
    """

    weight: Weight | None = None
    points: dict[str, Annotated[Number, Field(ge=-1_000_000, le=1_000_000)]] | None = Field(None, max_length=100)
    scale: Scale | None = None
    not_applicable: list[str] = Field(default=[], max_length=20)
    fail: dict[str, Literal["form", "section"]] = Field({}, max_length=100)
    bonus: bool = False

    @model_validator(mode="after")
    def _has_scoring(self) -> "QuestionScoring":
        if self.points is not None and self.scale is not None:
            raise ValueError("either `points` or `scale`, not both")
        if self.points is not None and not any(value > 0 for value in self.points.values()):
            raise ValueError("one option at least must give points above 0")
        if self.points is None and self.scale is None and not self.fail:
            raise ValueError("it needs `points`, a `scale`, or `fail`")
        return self


class SectionScoring(StrictAliasedModel):
    """How much the score of a section weighs in the form's score."""

    weight: Weight = Decimal(1)


class Scoring(StrictAliasedModel):
    """The score is the mean of the sections' scores by their weights, in per cent. Only questions named here count,
    and each must be in a section. A section in which nothing applies leaves the denominator."""

    questions: dict[str, QuestionScoring] = Field(min_length=1)
    sections: dict[str, SectionScoring] = {}


Kind = Literal["evaluation", "quiz", "survey", "note"]
About = Literal["agent", "none"]


class FormDefinition(StrictAliasedModel):
    """A form. `schema` (JSON Schema 2020-12) holds one property for each question; `ui_schema` says how they look and
    is kept as it is. `about` says whether a submission names an agent."""

    form: Slug
    title: Title
    kind: Kind
    about: About = "agent"
    answers_schema: dict[str, Any] = Field(alias="schema")
    ui_schema: dict[str, Any] = {}
    sections: list[Section] = Field(default=[], max_length=50)
    logic: Logic = Logic()
    scoring: Scoring | None = None

    @property
    def questions(self) -> dict[str, Any]:
        """The JSON Schema of each question, by its name."""
        return self.answers_schema["properties"]

    def sections_by_question(self) -> dict[str, str]:
        """The section of each question that is in one."""
        return {question: each.section for each in self.sections for question in each.questions}

    def content(self) -> dict[str, Any]:
        """The form as plain JSON, without fields that have their default; `about` is always there."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"about": self.about}

    def problems(self) -> list[FieldProblem]:
        """All problems of the form that the validation of its fields does not find."""
        free = {"schema": self.answers_schema, "ui_schema": self.ui_schema}
        problem = limits.shape_problem(free, max_bytes=limits.DEFINITION_BYTES)  # before `content` serializes them
        problem = problem or limits.shape_problem(self.content(), max_bytes=limits.DEFINITION_BYTES)
        if problem:
            return [FieldProblem(problem=f"The form is too large: {problem}.", cure="split it")]
        found = [
            each.model_copy(update={"pointer": "/schema" + each.pointer})
            for each in schema_problems(self.answers_schema)
        ]
        if found:
            return found
        found = [*self._name_problems(), *self._section_problems(), *self._scoring_problems()]
        return found or list(self._cycle_problems())

    def _name_problems(self) -> Iterator[FieldProblem]:
        for name in self.questions:
            if len(name) > 64 or not name.replace("-", "_").isidentifier() or not name.isascii() or name[0] in "_-":
                yield FieldProblem(
                    pointer=json_pointer("schema", "properties", name),
                    problem="a question's name has letters, digits, `_` and `-` only, and begins with a letter",
                    cure="e.g. greeting_given",
                )
        for kind, known in (("questions", set(self.questions)), ("sections", {each.section for each in self.sections})):
            for name, condition in getattr(self.logic, kind).items():
                if name not in known:
                    yield FieldProblem(
                        pointer=json_pointer("logic", kind, name), problem="there is none", cure=one_of(known)
                    )
                for question in find_asked_questions(condition):
                    if question not in self.questions:
                        yield FieldProblem(
                            pointer=json_pointer("logic", kind, name),
                            problem=f"it asks for an answer to `{question}`, which is no question",
                            cure=one_of(self.questions),
                        )

    def _section_problems(self) -> Iterator[FieldProblem]:
        names: set[str] = set()
        assigned: set[str] = set()
        for number, each in enumerate(self.sections):
            if each.section in names:
                yield FieldProblem(
                    pointer=json_pointer("sections", number, "section"),
                    problem="twice the same name",
                    cure="another name",
                )
            names.add(each.section)
            for index, question in enumerate(each.questions):
                where = json_pointer("sections", number, "questions", index)
                if question not in self.questions:
                    yield FieldProblem(pointer=where, problem=f"no question `{question}`", cure=one_of(self.questions))
                if question in assigned:
                    yield FieldProblem(
                        pointer=where, problem=f"`{question}` is in two sections", cure="leave it in one"
                    )
                assigned.add(question)

    def _scoring_problems(self) -> Iterator[FieldProblem]:  # noqa: C901 - a list of rules about one question
        if self.scoring is None:
            return
        assigned, names = self.sections_by_question(), {each.section for each in self.sections}
        for name in self.scoring.sections:
            if name not in names:
                yield FieldProblem(
                    pointer=json_pointer("scoring", "sections", name), problem="no such section", cure=one_of(names)
                )
        for name, scoring in self.scoring.questions.items():
            where = ("scoring", "questions", name)
            if name not in self.questions:
                yield FieldProblem(
                    pointer=json_pointer(*where), problem="no such question", cure=one_of(self.questions)
                )
                continue
            if name not in assigned:
                yield FieldProblem(
                    pointer=json_pointer(*where),
                    problem="a question that counts must be in a section",
                    cure=one_of(names),
                )
            if scoring.scale is not None and not may_be_number(self.questions[name]):
                yield FieldProblem(
                    pointer=json_pointer(*where, "scale"),
                    problem="a scale counts numbers, and the answer is none",
                    cure="give `points` for each option",
                )
            options = list_options(self.questions[name])
            if options is None:
                continue
            for part, named in (
                ("points", scoring.points or {}),
                ("not_applicable", scoring.not_applicable),
                ("fail", scoring.fail),
            ):
                for option in named:
                    if option not in options:
                        yield FieldProblem(
                            pointer=json_pointer(*where, part), problem=f"no option `{option}`", cure=one_of(options)
                        )

    def _cycle_problems(self) -> Iterator[FieldProblem]:
        try:
            self.sort_questions()
        except CycleError as error:
            yield FieldProblem(
                pointer="/logic",
                problem="whether these questions show depends on themselves: " + " → ".join(error.args[1]),
                cure="take one of the conditions away",
            )

    def sort_questions(self) -> list[str]:
        """The questions, each after those that decide whether it shows. Raises graphlib.CycleError."""
        sections = self.sections_by_question()
        deciding = {
            name: {
                each
                for condition in (self.logic.questions.get(name), self.logic.sections.get(sections.get(name, "")))
                for each in find_asked_questions(condition)
            }
            for name in self.questions
        }
        return list(TopologicalSorter(deciding).static_order())


def matrix_rows(question: Any) -> dict[str, Any] | None:
    """The rows of a matrix by name, each the schema of a question; None for any other question."""
    if not is_object(question) or question.get("type") != "object":
        return None
    rows = question.get("properties")
    return rows if is_object(rows) and rows else None


def may_be_number(question: Any) -> bool:
    """Whether an answer, or that to some row of a matrix, can be a number. True where the schema gives no type."""
    rows = matrix_rows(question)
    if rows is not None:
        return any(may_be_number(each) for each in rows.values())
    if not is_object(question) or "type" not in question:
        return True
    kinds = question["type"] if is_array(question["type"]) else [question["type"]]
    return bool({"number", "integer"} & {str(each) for each in kinds})


def list_options(question: Any) -> list[str] | None:
    """The options of a question, as text; of a matrix, those of all its rows. None where the schema does not list
    them."""
    if not is_object(question):
        return None
    rows = matrix_rows(question)
    if rows is not None:
        found = [list_options(each) for each in rows.values()]
        return list(dict.fromkeys(option for each in found for option in each or ())) if None not in found else None
    if question.get("type") == "array":
        return list_options(question.get("items"))
    if question.get("type") == "boolean":
        return ["true", "false"]
    values = question.get("enum")
    if is_array(values):
        return [render_option(each) for each in values]
    choices = question.get("oneOf")
    if is_array(choices) and all(is_object(each) and "const" in each for each in choices):
        return [render_option(each["const"]) for each in choices]
    return None


def render_option(value: Any) -> str:
    """An answer as scoring and KPIs name it: `yes`, `true`, `3`, `2.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hex: equal content has an equal hash."""
    return hashlib.sha256(limits.encode_canonical_json(content)).hexdigest()


class FormsSection(StrictAliasedModel):
    """The section `forms` of a blueprint: each form is published at once. Forms it does not name stay as they are."""

    forms: list[FormDefinition] = Field(default=[], max_length=MAX_SECTION_FORMS)

    def problems(self) -> list[FieldProblem]:
        """All problems of the section that show without knowing the published forms."""
        found: list[FieldProblem] = []
        names: set[str] = set()
        for number, each in enumerate(self.forms):
            where = json_pointer("forms", number)
            if each.form in names:
                found.append(FieldProblem(pointer=f"{where}/form", problem="twice the same name", cure="another name"))
            names.add(each.form)
            found += [one.model_copy(update={"pointer": where + one.pointer}) for one in each.problems()]
        return found

    def find_conflicts(self, published: Mapping[str, tuple[str, str]]) -> list[FieldProblem]:
        """Forms whose kind or `about` differs from a published version. `published`: both, by the form's name."""
        return [
            problem.model_copy(update={"pointer": f"/forms/{number}{problem.pointer}"})
            for number, each in enumerate(self.forms)
            if each.form in published and (problem := check_kind_unchanged(each, published[each.form]))
        ]


def check_kind_unchanged(form: FormDefinition, published: tuple[str, str]) -> FieldProblem | None:
    """A problem if the form's kind or `about` differs from the `published` ones; they may never change."""
    kind, about = published
    if published == (form.kind, form.about):
        return None
    return FieldProblem(
        pointer="/kind",
        problem=f"`{form.form}` was published with kind `{kind}` and about `{about}`",
        cure="keep both, or give the new form another name",
    )


def check_section(content: dict[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """The check for `servicekit.blueprints.checking.SectionChecker`. `present`: the current section. Forms refer to no
    names of other services."""
    if content is None:
        return SectionCheck()
    try:
        section = FormsSection.model_validate(content)
    except ValidationError as error:
        return SectionCheck(problems=find_validation_problems(error, content, FormsSection))
    before = {each["form"]: each for each in present["forms"]}
    published = {name: (each["kind"], each["about"]) for name, each in before.items()}
    problems = section.problems() or section.find_conflicts(published)
    after = before | {each.form: each.content() for each in section.forms if not problems}
    return SectionCheck(problems=problems, changes=diff_sections(present, {"forms": list(after.values())}))
