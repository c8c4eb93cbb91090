"""Bundles as they should not be: what is read and located takes time in proportion to its length."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from identity.model.blueprints import parse_bundle, to_invalid_bundle
from servicekit.errors import FieldProblem, Invalid

SECONDS = 8.0
"""Many times what it takes; and much less than what it took as long as a key was looked for again and again."""
MANY = 90_000
KEYS = "".join(f"    k{number}: 1\n" for number in range(MANY))
JSON_KEYS = ",".join(f'"k{number}":1' for number in range(MANY))
HOSTILE: dict[str, str] = {
    "values": "blueprint: x\nsections:\n  identity:\n    people: [" + "[]," * 600_000 + "]",
    "values of JSON": '{"blueprint": "x", "sections": {"identity": [' + ",".join(["[]"] * 600_000) + "]}}",
    "keys that nobody knows": "blueprint: x\nsections:\n  identity:\n" + KEYS,
    "keys of JSON that nobody knows": '{"blueprint": "x", "sections": {"identity": {' + JSON_KEYS + "}}}",
    "a key that is there twice, after many others": "{" + JSON_KEYS + ', "z": 1, "z": 2}',
    "people, each of them wrong": "blueprint: x\nsections:\n  identity:\n    people:\n" + "      - {x: 1}\n" * 99_000,
    "aliases of aliases": "a0: &a0 [1, 1, 1, 1]\n"
    + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(60)),
    "an alias inside of what it stands for": "a: &a [*a]",
    "anchors": "a:\n" + "".join(f"- &a{number} x\n" for number in range(MANY)),
    "brackets": "[" * 1_900_000,
    "braces": "{a: " * 400_000,
    "comments": "#\n" * 900_000,
}


def seconds_of(work: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    began = time.thread_time()
    try:
        made = work(*args)
    except Invalid as error:
        made = error
    return time.thread_time() - began, made


@pytest.mark.parametrize("name", HOSTILE)
def test_a_large_bundle_is_refused_soon(name: str) -> None:
    seconds, refused = seconds_of(parse_bundle, HOSTILE[name])
    if not isinstance(refused, Invalid):
        _, _, problems = refused
        seconds, refused = seconds_of(to_invalid_bundle, problems, HOSTILE[name])
    assert isinstance(refused, Invalid)
    assert 0 < len(refused.errors) <= 200
    assert seconds < SECONDS


def test_lines_are_found_in_one_pass() -> None:
    reported = [FieldProblem(pointer=f"/sections/identity/k{MANY - 1 - number}", problem="x") for number in range(100)]
    seconds, refused = seconds_of(to_invalid_bundle, reported, HOSTILE["keys that nobody knows"])
    assert [each.line for each in refused.errors] == [MANY + 3 - number for number in range(100)]
    assert {each.column for each in refused.errors} == {5}
    assert seconds < SECONDS


def test_lines_are_those_of_the_deepest_place_that_is_there() -> None:
    text = "blueprint: x\nsections:\n  identity:\n    people:\n      - slug: a\n      - {slug: b, 'a/b': [1, {c: 2}]}\n"
    found = {
        "": (1, 1),
        "/sections/identity/people/1": (6, 9),
        "/sections/identity/people/1/slug": (6, 10),
        "/sections/identity/people/1/a~1b/1/c": (6, 31),
        "/sections/identity/people/0/display_name": (5, 9),
        "/sections/identity/people/7": (4, 5),
        "/nowhere": (1, 1),
    }
    refused = to_invalid_bundle([FieldProblem(pointer=pointer, problem="x") for pointer in found], text)
    assert {each.pointer: (each.line, each.column) for each in refused.errors} == found
