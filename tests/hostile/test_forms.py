"""Forms that are made to be checked for ever: each is refused at once."""

import time
from typing import Any

import pytest
from forms.model.definition import FormDefinition
from pydantic import ValidationError

AT_MOST_SECONDS = 5.0


def form(schema: Any = None, logic: Any = None) -> dict[str, Any]:
    schema = schema or {"type": "object", "properties": {"a": {"type": "string"}}}
    return {"form": "f", "title": {"en": "x"}, "kind": "note", "schema": schema, "logic": logic or {}}


def nested(wrap: Any, levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = wrap(inner)
    return inner


def questions(count: int, **of: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            f"q{n}": {name: each(n) if callable(each) else each for name, each in of.items()} for n in range(count)
        },
    }


TEST = {"question": "a", "value": "x"}
CASES = [
    *[(f"conditions {n} deep", form(logic={"questions": {"a": nested(lambda c: {"all": [c]}, n, TEST)}}))
      for n in (30, 200, 900)],
    *[(f"nots {n} deep", form(logic={"questions": {"a": nested(lambda c: {"not": c}, n, TEST)}})) for n in (30, 900)],
    *[(f"schemas {n} deep", form({"type": "object", "properties": {"a": nested(lambda s: {"allOf": [s]}, n, {})}}))
      for n in (30, 900)],
    ("patterns that are slow to compile", form(questions(250, type="string", pattern=lambda n: f"(\\w{{1,50}}){{1,50}}{n}"))),
    ("patterns that are too large", form(questions(1, type="string", pattern="(a{1,1000}){1,1000}"))),
    ("look-around", form(questions(1, type="string", pattern="(?=(a+)+)$"))),
    ("references that multiply", form({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}, "d20": {}}})),
]  # fmt: skip


@pytest.mark.parametrize("definition", [each[1] for each in CASES], ids=[each[0] for each in CASES])
def test_it_is_refused_at_once(definition: dict[str, Any]) -> None:
    began = time.thread_time()
    assert problems_of(definition)
    assert time.thread_time() - began < AT_MOST_SECONDS


def problems_of(definition: dict[str, Any]) -> list[Any]:
    try:
        return list(FormDefinition.model_validate(definition).problems())
    except ValidationError as error:
        return list(error.errors())
