"""Answers whose check takes long: it takes nobody else's time."""

from typing import Any

import pytest

from tests.hostile.conftest import HostileSuite
from tests.hostile.loop_watch import record_loop_blockers

ANY = {"type": "string", "maxLength": 100_000}
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "objects, each compared with each": ({"type": "array", "uniqueItems": True}, [{"n": n} for n in range(1_000)]),
    "lists, each compared with each": ({"type": "array", "uniqueItems": True}, [[n, [n]] for n in range(1_000)]),
    "a value compared with every item": (
        {"type": "array", "contains": {"enum": [{"n": n} for n in range(100)]}, "minContains": 1_001},
        [{"n": n} for n in range(1_000)],
    ),
    "a long text under patterns": ({"allOf": [{"pattern": f"(x+x+)+{n}$"} for n in range(10)]}, "x" * 20_000),
    "many wrong answers": ({"type": "array", "items": {"type": "string"}}, list(range(1_000))),
}


@pytest.mark.parametrize(("schema", "answer"), CASES.values(), ids=CASES)
async def test_answers_are_checked_beside_the_loop(
    own_suite: HostileSuite, schema: dict[str, Any], answer: Any
) -> None:
    boss = own_suite.client("forms")
    form = {
        "form": "slow",
        "title": {"en": "Slow"},
        "kind": "survey",
        "about": "none",
        "schema": {"type": "object", "properties": {"a": {"title": "A", **schema}}},
    }
    made = await boss.put("/forms/slow", json=form)
    if made.status_code == 422:
        return  # a form that asks for this is no form here
    assert made.is_success, made.text
    assert (await boss.post("/forms/slow/publish")).is_success
    with record_loop_blockers() as held:
        told = await boss.post("/forms/slow/submissions", json={"answers": {"a": answer}})
    assert told.status_code in (201, 422), told.text
    assert held == []
