"""The content of a template: a reading, a task, or a quiz that the server scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from servicekit.errors import FieldProblem, Invalid
from servicekit.strict_models import StrictModel

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
LocalizedText = Annotated[dict[Language, Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]
"""A text by language, at least one: `{"en": "Fewer silences", "zh": "减少静默"}`."""

Answers = Mapping[str, Sequence[str]]


class Choice(StrictModel):
    """A choice of a question, and whether it is correct."""

    id: Slug
    text: LocalizedText
    correct: bool = False


class Question(StrictModel):
    """`single` has exactly one correct choice; `multi` at least one, and counts only when all and no other are named."""

    id: Slug
    kind: Literal["single", "multi"]
    text: LocalizedText
    points: int = Field(default=1, ge=1, le=1000)
    choices: list[Choice] = Field(min_length=2)

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        _require_unique("choice", [choice.id for choice in self.choices])
        correct = len(self.correct)
        if self.kind == "single" and correct != 1:
            raise ValueError(f"a question with a single answer needs exactly one correct choice, this has {correct}")
        if correct == 0:
            raise ValueError("a question needs at least one correct choice")
        return self

    @property
    def correct(self) -> frozenset[str]:
        """The ids of the correct choices."""
        return frozenset(choice.id for choice in self.choices if choice.correct)


class Quiz(StrictModel):
    """Passed from `pass_percent` of all points on; `max_attempts` None: as often as one likes."""

    pass_percent: int = Field(default=80, ge=1, le=100)
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    questions: list[Question] = Field(min_length=1)

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        _require_unique("question", [question.id for question in self.questions])
        return self


Kind = Literal["reading", "quiz", "task"]


class Content(StrictModel):
    """One immutable state of a template. `body` is Markdown by language; `minutes` is how long it takes. A `task` is
    something to do, and is completed by saying so, as a reading is."""

    kind: Kind
    title: LocalizedText
    body: LocalizedText
    minutes: int | None = Field(default=None, ge=1, le=1000)
    quiz: Quiz | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "quiz") != (self.quiz is not None):
            raise ValueError("a quiz needs `quiz`, a reading or a task has none")
        return self


class Template(Content):
    """A template as a blueprint holds it: its content under its name."""

    template: Slug

    def content(self) -> Content:
        """The content without the name."""
        return Content.model_validate(self.model_dump(exclude={"template"}))


@dataclass(frozen=True)
class AttemptResult:
    """The result of an attempt. `percent` of the points is rounded down, so that 79.9 % never shows as a passed 80."""

    percent: int
    passed: bool


def score_attempt(quiz: Quiz, answers: Answers) -> AttemptResult:
    """Scores an attempt: a question earns all of its points or none, and none when it is left out. Raises Invalid for unknown questions or choices."""
    questions = {question.id: question for question in quiz.questions}
    if problems := _problems(questions, answers):
        raise Invalid("unknown-answer", "Some answers do not belong to this quiz.", errors=problems)
    total = sum(question.points for question in quiz.questions)
    earned = sum(
        question.points for name, question in questions.items() if frozenset(answers.get(name, ())) == question.correct
    )
    return AttemptResult(percent=100 * earned // total, passed=100 * earned >= quiz.pass_percent * total)


def _problems(questions: Mapping[str, Question], answers: Answers) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    for name, chosen in answers.items():
        pointer = f"/answers/{name}"
        question = questions.get(name)
        if question is None:
            cure = f"one of: {', '.join(questions)}"
            found.append(FieldProblem(pointer=pointer, problem=f"there is no question `{name}`", cure=cure))
            continue
        choices = [choice.id for choice in question.choices]
        cure = f"one of: {', '.join(choices)}"
        found += [
            FieldProblem(pointer=pointer, problem=f"there is no choice `{choice}`", cure=cure)
            for choice in chosen
            if choice not in choices
        ]
        if question.kind == "single" and len(set(chosen)) > 1:
            found.append(FieldProblem(pointer=pointer, problem="several choices", cure="name one choice"))
    return found


def select_language(words: Mapping[str, str], languages: Sequence[str]) -> str:
    """The text in the first of `languages` that there is, else in any language. `words`: the text by language, not empty."""
    return next((words[language] for language in languages if language in words), next(iter(words.values())))


def render_for_learner(content: Content, languages: Sequence[str]) -> dict[str, Any]:
    """The content as JSON, in one language and without the correct choices."""
    shown: dict[str, Any] = {
        "kind": content.kind,
        "title": select_language(content.title, languages),
        "body": select_language(content.body, languages),
        "minutes": content.minutes,
    }
    if content.quiz:
        shown["quiz"] = {
            "pass_percent": content.quiz.pass_percent,
            "max_attempts": content.quiz.max_attempts,
            "questions": [
                {
                    "id": question.id,
                    "kind": question.kind,
                    "text": select_language(question.text, languages),
                    "points": question.points,
                    "choices": [
                        {"id": choice.id, "text": select_language(choice.text, languages)}
                        for choice in question.choices
                    ],
                }
                for question in content.quiz.questions
            ],
        }
    return shown


def render_without_answers(content: Content) -> dict[str, Any]:
    """The content as JSON, in all languages and without the correct choices: for readers who may not edit it."""
    hidden = {"quiz": {"questions": {"__all__": {"choices": {"__all__": {"correct"}}}}}} if content.quiz else None
    return content.model_dump(mode="json", exclude=hidden)  # pyright: ignore[reportArgumentType]


def _require_unique(noun: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{noun} named twice: {', '.join(twice)}")
