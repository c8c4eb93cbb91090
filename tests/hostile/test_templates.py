"""Texts of notices that are made to be rendered for ever: each is refused, or rendered at once."""

import time

import pytest
from notification.model.rules import Text, text_problems
from notification.model.templates import BadText, render

AT_MOST_SECONDS = 2.0
CONTEXT = {"title": "a & b < c " * 20, "agent": {"name": "Ada"}, "points": 7}

REFUSED = [
    ("a range", "{% for i in (1..1000000000) %}x{% endfor %}", "range"),
    ("a short range of a long one", "{% for i in (1..100000000) offset: 99999998 %}x{% endfor %}", "range"),
    ("a range that is searched", "{% if (1..100000000) contains 'x' %}x{% endif %}", "range"),
    ("ranges in ranges", "{% for i in (1..22) %}{% for j in (1..22) %}{{ title }}{% endfor %}{% endfor %}", "range"),
    ("many loops", "{% for i in (1..90) %}{% endfor %}" * 100, "range|expressions"),
    ("escaped again and again", "{{ title" + "|escape" * 500 + " }}", "filters"),
    ("breaks again and again", "{{ '" + "\n" * 1900 + "'" + "|newline_to_br" * 140 + " }}", "filters"),
    ("appended again and again", "{{ 'a'" + "|append: title" * 250 + " }}", "filters"),
    ("many outputs", "{{a}}" * 790, "expressions"),
    ("deep blocks", "{% if a %}" * 180 + "{% endif %}" * 180, ""),
    ("deep parentheses", "{% if " + "(" * 1800 + "a" + ")" * 1800 + " %}{% endif %}", ""),
    ("deep paths", "{{ a" + "[a" * 1300 + "]" * 1300 + "}}", ""),
    ("too long", "a" * 4001, "longer"),
    ("assigning", "{% assign a = 'x' %}", ""),
]  # fmt: skip
RENDERED = [
    ("filters", "{{ title" + "|escape" * 38 + " }}"),
    ("a loop", "{% for each in agent %}{{ each }}{% endfor %}"),
    ("a long path", "{{ a" + ".b" * 190 + " }}"),
    ("large numbers", "{{ 9" + "|times: 99999999999999999999999999" * 38 + " }}"),
    ("rounded", "{{ 1.5 | round: 99999999 }} {{ 15 | round: -999999999999 }}"),
    ("an exponent", "{{ '1e999999999' | plus: 1 }}"),
]


@pytest.mark.parametrize(("text", "says"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_it_is_refused_at_once(text: str, says: str) -> None:
    began = time.thread_time()
    with pytest.raises(BadText) as refused:
        render(text, CONTEXT)
    assert any(part in str(refused.value) for part in says.split("|"))
    assert time.thread_time() - began < AT_MOST_SECONDS


@pytest.mark.parametrize("text", [each[1] for each in RENDERED], ids=[each[0] for each in RENDERED])
def test_it_is_rendered_at_once(text: str) -> None:
    began = time.thread_time()
    render(text, CONTEXT)
    assert time.thread_time() - began < AT_MOST_SECONDS


@pytest.mark.parametrize("text", [each[1] for each in REFUSED if len(each[1]) <= 4000])
def test_it_is_refused_when_it_is_saved(text: str) -> None:
    (problem,) = text_problems({"band.entered": {"en": Text(subject="x", body=text)}})
    assert problem.pointer == "/texts/band.entered/en/body"
    assert problem.cure
