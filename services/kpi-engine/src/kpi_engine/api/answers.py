"""Values in responses."""

from pydantic import BaseModel

from kpi_engine.model.numbers import decimal_text
from kpi_engine.model.plan import Value


class Answer(BaseModel):
    """Decimals as text. `value` None comes with a `reason`; `parts` are the model's aggregates."""

    value: str | None
    reason: str | None = None
    sample: int
    numerator: str | None = None
    denominator: str | None = None
    parts: dict[str, str | None] = {}


def render_answer(value: Value) -> Answer:
    """The value with its decimals as text."""
    return Answer(
        value=value.text,
        reason=value.reason,
        sample=value.sample,
        numerator=None if value.numerator is None else decimal_text(value.numerator),
        denominator=None if value.denominator is None else decimal_text(value.denominator),
        parts={name: None if part is None else decimal_text(part) for name, part in value.parts},
    )
