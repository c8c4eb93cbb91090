"""What a submission scores, and how it came about."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel

from forms.model.definition import FormDefinition, QuestionScoring, SectionScoring, option_text, options_of
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
class _Counted:
    """One question, exactly: `share` is None where it leaves the denominator."""

    result: QuestionResult
    weight: Fraction
    share: Fraction | None


def score(form: FormDefinition, answers: dict[str, Any], shown: frozenset[str]) -> Result | None:
    """None for a form that is not scored. `answers` are those of shown questions."""
    if form.scoring is None:
        return None
    sections: list[SectionResult] = []
    reached = possible = Fraction(0)
    automatic_fail = False
    for section in form.sections:
        counted = [
            _question(form, name, answers, shown) for name in section.questions if name in form.scoring.questions
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


def _mean(counted: list[_Counted]) -> Fraction | None:
    """What a section reached of what it could; None when nothing in it applied."""
    applying = [(each.result.bonus, each.weight, each.share) for each in counted if each.share is not None]
    possible = sum(weight for bonus, weight, _ in applying if not bonus)
    reached = sum((weight * share for _, weight, share in applying), Fraction(0))
    return min(Fraction(1), reached / possible) if possible else None


def _question(form: FormDefinition, name: str, answers: dict[str, Any], shown: frozenset[str]) -> _Counted:
    assert form.scoring is not None
    how, question = form.scoring.questions[name], form.questions[name]
    several = isinstance(question, dict) and question.get("type") == "array"
    weight = how.weight if how.weight is not None else _most(how, several=several)

    def counted(state: Any, share: Fraction | None = None, **fields: Any) -> _Counted:
        result = QuestionResult(
            question=name,
            state=state,
            share=None if share is None else _hundredths(share),
            weight=float(weight),
            bonus=how.bonus,
            **fields,
        )
        return _Counted(result, Fraction(weight), share)

    if name not in shown:
        return counted("hidden")
    if name not in answers:
        return counted("unanswered")
    answer = answers[name]
    chosen = [option_text(each) for each in (answer if isinstance(answer, list) else [answer])]
    levels = {how.fail[option] for option in chosen if option in how.fail}
    if levels:
        return counted("counted", _share(how, answer, chosen), answer=answer, fails=max(levels, key=_SEVERITY.index))
    if any(option in how.not_applicable for option in chosen):
        return counted("not_applicable", answer=answer)
    return counted("counted", _share(how, answer, chosen), answer=answer)


_SEVERITY = ("section", "form")


def _share(how: QuestionScoring, answer: Any, chosen: list[str]) -> Fraction | None:
    """None for a question that can only fail something."""
    if how.scale is not None and is_number(answer):
        worst, best = Fraction(how.scale.worst), Fraction(how.scale.best)
        share = (Fraction(str(answer)) - worst) / (best - worst)
    elif how.points is not None:
        got = sum(Fraction(how.points.get(option, Decimal(0))) for option in chosen)
        share = got / Fraction(_most(how, several=isinstance(answer, list)))
    else:
        return None
    return min(Fraction(1), max(Fraction(0), share))


def _most(how: QuestionScoring, *, several: bool) -> Decimal:
    """The most points there are to get; 1 where points are not what counts."""
    if how.points is None:
        return Decimal(1)
    positive = [value for value in how.points.values() if value > 0]
    return sum(positive, Decimal(0)) if several else max(positive)


def _hundredths(share: Fraction) -> int:
    return int((Decimal(share.numerator * 10000) / share.denominator).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def event_answers(form: FormDefinition, answers: dict[str, Any]) -> dict[str, str]:
    """Numbers and choices by question, as text: what KPIs may use. Free text stays here."""
    return {
        name: option_text(value)
        for name, value in answers.items()
        if is_number(value)
        or isinstance(value, bool)
        or (isinstance(value, str) and options_of(form.questions[name]) is not None)
    }
