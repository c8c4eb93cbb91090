"""Bodies and sections take switches and numbers as JSON has them, and texts as what they stand for."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field, ValidationError
from servicekit.strict_models import StrictModel


class Part(StrictModel):
    count: int = 0
    share: float = 0


class Body(StrictModel):
    on: bool | None = None
    default: bool = False
    sizes: list[Annotated[int, Field(ge=1)]] = []
    parts: dict[str, Part] = {}
    day: date | None = None
    id: UUID | None = None
    kind: int | str = 0


@pytest.mark.parametrize(
    "body",
    [
        {"on": 1}, {"on": "yes"}, {"on": "true"}, {"default": 1}, {"sizes": ["5"]}, {"sizes": [True]}, {"sizes": [5.5]},
        {"parts": {"a": {"count": False}}}, {"parts": {"a": {"share": "0.5"}}}, {"parts": {"a": {"share": True}}},
    ],
)  # fmt: skip
def test_another_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate(body)


def test_what_json_has_is_taken() -> None:
    body: dict[str, Any] = {
        "on": False, "sizes": [5, 6.0], "parts": {"a": {"count": -1, "share": 1}}, "day": "2026-03-01",
        "id": "00000000-0000-0000-0000-000000000001", "kind": "5",
    }  # fmt: skip
    found = Body.model_validate(body)
    assert found == Body(
        on=False, sizes=[5, 6], parts={"a": Part(count=-1, share=1)}, day=date(2026, 3, 1), id=UUID(int=1), kind="5"
    )
    assert isinstance(found.sizes[1], int)
    assert Body.model_json_schema()["properties"]["sizes"]["items"] == {"minimum": 1, "type": "integer"}


def test_numbers_beyond_every_bound_are_refused_by_the_bound() -> None:
    for number in (1e308, float("inf"), float("nan")):
        with pytest.raises(ValidationError):
            Body.model_validate({"sizes": [-number]})
