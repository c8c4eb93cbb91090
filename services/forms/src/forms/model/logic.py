"""Which questions show: nested and/or/not over answers, the same in the browser and here."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Scalar = str | bool | int | float


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Test(StrictModel):
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
                fits, wanted = self.value is None, "no value"
            case "in":
                fits, wanted = isinstance(self.value, list), "a list of values"
            case "at_least" | "at_most":
                fits, wanted = isinstance(self.value, int | float) and not isinstance(self.value, bool), "a number"
            case _:
                fits, wanted = self.value is not None and not isinstance(self.value, list), "one value"
        if not fits:
            raise ValueError(f"`{self.op}` takes {wanted}")
        return self


class All(StrictModel):
    all: list["Condition"] = Field(min_length=1, max_length=50)


class Either(StrictModel):
    any: list["Condition"] = Field(min_length=1, max_length=50)


class Not(StrictModel):
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


class Logic(StrictModel):
    """When a question or a whole section shows; without a condition it always does."""

    questions: dict[str, Condition] = {}
    sections: dict[str, Condition] = {}


def find_asked_questions(condition: Any) -> Iterator[str]:
    """The questions whose answers a condition looks at."""
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


def evaluate_condition(condition: Any, answers: dict[str, Any]) -> bool:
    """`answers` holds those of shown questions only."""
    match condition:
        case All():
            return all(evaluate_condition(each, answers) for each in condition.all)
        case Either():
            return any(evaluate_condition(each, answers) for each in condition.any)
        case Not():
            return not evaluate_condition(condition.not_, answers)
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
            return isinstance(answer, list) and any(is_json_equal(each, value) for each in answer)
        case "at_least":
            return is_number(answer) and Decimal(str(answer)) >= Decimal(str(value))
        case _:
            return is_number(answer) and Decimal(str(answer)) <= Decimal(str(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_json_equal(one: Any, other: Any) -> bool:
    """As JSON means it: 1 is 1.0, and true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
