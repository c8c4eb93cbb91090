"""Which questions show: nested and/or/not conditions over answers, with the same meaning as in the browser."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from servicekit.json_types import is_array
from servicekit.strict_models import StrictAliasedModel

Scalar = str | bool | int | float


class Test(StrictAliasedModel):
    """A test of one answer. An unanswered or hidden question passes only `unanswered` and `is_not`.

    `contains` is for questions with several choices; `at_least` and `at_most` are for numbers.
    """

    question: str
    op: Literal["is", "is_not", "in", "contains", "at_least", "at_most", "answered", "unanswered"] = "is"
    value: Scalar | list[Scalar] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> "Test":
        match self.op:
            case "answered" | "unanswered":
                fits, expected = self.value is None, "no value"
            case "in":
                fits, expected = isinstance(self.value, list), "a list of values"
            case "at_least" | "at_most":
                fits, expected = isinstance(self.value, int | float) and not isinstance(self.value, bool), "a number"
            case _:
                fits, expected = self.value is not None and not isinstance(self.value, list), "one value"
        if not fits:
            raise ValueError(f"`{self.op}` takes {expected}")
        return self


class All(StrictAliasedModel):
    """Holds when all conditions hold."""

    all: list["Condition"] = Field(min_length=1, max_length=50)


class Either(StrictAliasedModel):
    """Holds when at least one of the conditions holds."""

    any: list["Condition"] = Field(min_length=1, max_length=50)


class Not(StrictAliasedModel):
    """Holds when the condition does not."""

    not_: "Condition" = Field(alias="not")


_KINDS = {"all": All, "any": Either, "not": Not, "question": Test}


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((f"<{key}>" for key in _KINDS if key in value), None)
    return next((f"<{key}>" for key, kind in _KINDS.items() if isinstance(value, kind)), None)


Condition = Annotated[
    Annotated[All, Tag("<all>")]
    | Annotated[Either, Tag("<any>")]
    | Annotated[Not, Tag("<not>")]
    | Annotated[Test, Tag("<question>")],
    Discriminator(
        _kind,
        custom_error_type="no_condition",
        custom_error_message="A condition has one of the keys `all`, `any`, `not`, `question`",
    ),
]


class Logic(StrictAliasedModel):
    """When a question or a whole section shows; without a condition it always does."""

    questions: dict[str, Condition] = {}
    sections: dict[str, Condition] = {}


def find_asked_questions(condition: Any) -> Iterator[str]:
    """Names of the questions whose answers a condition tests."""
    match condition:
        case Test():
            yield condition.question
        case Not():
            yield from find_asked_questions(condition.not_)
        case All():
            for each in condition.all:
                yield from find_asked_questions(each)
        case Either():
            for each in condition.any:
                yield from find_asked_questions(each)
        case _:
            pass


def evaluate_condition(condition: Any, answers: dict[str, Any]) -> bool:  # noqa: C901 - a case for each operator
    """Whether a condition holds. `answers`: those of shown questions, by name."""
    match condition:
        case All():
            return all(evaluate_condition(each, answers) for each in condition.all)
        case Either():
            return any(evaluate_condition(each, answers) for each in condition.any)
        case Not():
            return not evaluate_condition(condition.not_, answers)
        case _:
            pass
    answer, value = answers.get(condition.question), condition.value
    match condition.op:
        case "answered":
            return answer is not None
        case "unanswered":
            return answer is None
        case "is":
            return is_json_equal(answer, value)
        case "is_not":
            return not is_json_equal(answer, value)
        case "in":
            return any(is_json_equal(answer, each) for each in value)
        case "contains":
            return is_array(answer) and any(is_json_equal(each, value) for each in answer)
        case "at_least":
            return is_number(answer) and Decimal(str(answer)) >= Decimal(str(value))
        case _:
            return is_number(answer) and Decimal(str(answer)) <= Decimal(str(value))


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_json_equal(one: Any, other: Any) -> bool:
    """Whether two scalars are the same JSON value: 1 equals 1.0, and true does not equal 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
