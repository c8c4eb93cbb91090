"""The score of a submission, with the share of each question in it."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel
from servicekit.json_types import is_array, is_object

from forms.model.definition import (
    FormDefinition,
    QuestionScoring,
    SectionScoring,
    list_options,
    matrix_rows,
    render_option,
)
from forms.model.logic import is_number


class QuestionResult(BaseModel):
    """`share` is what was reached of what could be, in hundredths of a percent; None where the question does not
    count: `hidden`, `unanswered`, `not_applicable`, or counted by failing only."""

    question: str
    state: Literal["counted", "hidden", "unanswered", "not_applicable"]
    answer: Any = None
    share: int | None = None
    weight: float
    bonus: bool = False
    fails: Literal["form", "section"] | None = None


class SectionResult(BaseModel):
    """`score` in hundredths of a percent; None when nothing in it applied."""

    section: str
    score: int | None
    weight: float
    failed: bool = False
    questions: list[QuestionResult]


class Result(BaseModel):
    """`score` in hundredths of a percent, 0..10000; None when nothing applied."""

    score: int | None
    automatic_fail: bool
    sections: list[SectionResult]


@dataclass(frozen=True)
class _QuestionShare:
    """Result, weight and share of one question, unrounded. `share` None: the question leaves the denominator."""

    result: QuestionResult
    weight: Fraction
    share: Fraction | None


def score_submission(form: FormDefinition, answers: dict[str, Any], shown: frozenset[str]) -> Result | None:
    """The result of a submission; None for a form that is not scored. `answers`: those of shown questions. The formula is in
    `Scoring` and `QuestionScoring`."""
    if form.scoring is None:
        return None
    sections: list[SectionResult] = []
    reached = possible = Fraction(0)
    automatic_fail = False
    for section in form.sections:
        counted = [
            _score_question(form, name, answers, shown) for name in section.questions if name in form.scoring.questions
        ]
        if not counted:
            continue
        weight = form.scoring.sections.get(section.section, SectionScoring()).weight
        fails = {each.result.fails for each in counted} - {None}
        share = Fraction(0) if fails else _mean(counted)
        automatic_fail |= "form" in fails
        if share is not None:
            reached += Fraction(weight) * share
            possible += Fraction(weight)
        sections.append(
            SectionResult(
                section=section.section,
                score=None if share is None else _hundredths(share),
                weight=float(weight),
                failed=bool(fails),
                questions=[each.result for each in counted],
            )
        )
    total = Fraction(0) if automatic_fail else (reached / possible if possible else None)
    return Result(score=None if total is None else _hundredths(total), automatic_fail=automatic_fail, sections=sections)


def _mean(counted: list[_QuestionShare]) -> Fraction | None:
    """Share that a section reached, at most 1; None when nothing in it applied."""
    applying = [(each.result.bonus, each.weight, each.share) for each in counted if each.share is not None]
    possible = sum(weight for bonus, weight, _ in applying if not bonus)
    reached = sum((weight * share for _, weight, share in applying), Fraction(0))
    return min(Fraction(1), reached / possible) if possible else None


def _score_question(form: FormDefinition, name: str, answers: dict[str, Any], shown: frozenset[str]) -> _QuestionShare:
    assert form.scoring is not None
    scoring, question = form.scoring.questions[name], form.questions[name]
    weight = scoring.weight if scoring.weight is not None else _default_weight(scoring, question)

    def counted(state: Any, share: Fraction | None = None, **fields: Any) -> _QuestionShare:
        result = QuestionResult(
            question=name,
            state=state,
            share=None if share is None else _hundredths(share),
            weight=float(weight),
            bonus=scoring.bonus,
            **fields,
        )
        return _QuestionShare(result, Fraction(weight), share)

    if name not in shown:
        return counted("hidden")
    if name not in answers:
        return counted("unanswered")
    answer = answers[name]
    rows = [_RowAnswer(scoring, each) for each in (answer.values() if is_object(answer) else [answer])]
    levels = {level for row in rows for level in row.fails}
    applying = [row for row in rows if row.fails or not row.not_applicable]
    if not applying:
        return counted("not_applicable" if rows else "unanswered", answer=answer)
    shares = [share for share in (row.share for row in applying) if share is not None]
    share = sum(shares, Fraction(0)) / len(shares) if shares else None
    return counted("counted", share, answer=answer, fails=max(levels, key=_SEVERITY.index, default=None))


class _RowAnswer:
    """The answer to one row of a matrix, or to a question that is no matrix."""

    def __init__(self, scoring: QuestionScoring, answer: Any) -> None:
        self._scoring, self._answer = scoring, answer
        self._chosen = [render_option(each) for each in (answer if is_array(answer) else [answer])]
        self.fails = {scoring.fail[option] for option in self._chosen if option in scoring.fail}
        self.not_applicable = any(option in scoring.not_applicable for option in self._chosen)

    @property
    def share(self) -> Fraction | None:
        """From 0 to 1; None for a question that has neither points nor a scale and can only fail something."""
        scoring = self._scoring
        if scoring.scale is not None and is_number(self._answer):
            worst, best = Fraction(scoring.scale.worst), Fraction(scoring.scale.best)
            share = (Fraction(str(self._answer)) - worst) / (best - worst)
        elif scoring.points is not None:
            points = sum(Fraction(scoring.points.get(option, Decimal(0))) for option in self._chosen)
            share = points / Fraction(_max_points(scoring, several=isinstance(self._answer, list)))
        else:
            return None
        return min(Fraction(1), max(Fraction(0), share))


_SEVERITY = ("section", "form")


def _default_weight(scoring: QuestionScoring, question: Any) -> Decimal:
    """The maximum of points, summed over the rows of a matrix; 1 for each row without points."""
    rows = matrix_rows(question)
    kinds = [question] if rows is None else list(rows.values())
    several = [is_object(each) and each.get("type") == "array" for each in kinds]
    return sum((_max_points(scoring, several=each) for each in several), Decimal(0))


def _max_points(scoring: QuestionScoring, *, several: bool) -> Decimal:
    """The maximum of points; 1 where the question has none. `several`: several choices add up."""
    if scoring.points is None:
        return Decimal(1)
    positive = [value for value in scoring.points.values() if value > 0]
    return sum(positive, Decimal(0)) if several else max(positive)


def _hundredths(share: Fraction) -> int:
    return int((Decimal(share.numerator * 10000) / share.denominator).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def event_answers(form: FormDefinition, answers: dict[str, Any]) -> dict[str, str]:
    """Numbers and choices by question, as text, for KPIs; a row of a matrix is named `question.row`. Free text is never
    published."""
    found: dict[str, str] = {}
    for name, value in answers.items():
        rows = matrix_rows(form.questions[name])
        if rows is not None and is_object(value):
            found |= {
                f"{name}.{row}": render_option(each)
                for row, each in value.items()
                if _is_publishable(rows.get(row), each)
            }
        elif _is_publishable(form.questions[name], value):
            found[name] = render_option(value)
    return found


def _is_publishable(question: Any, value: Any) -> bool:
    return (
        is_number(value) or isinstance(value, bool) or (isinstance(value, str) and list_options(question) is not None)
    )
