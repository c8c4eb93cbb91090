"""One spelling: what a field or a parameter is called says what it holds, in all OpenAPI documents and in all events."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from all_in_one import docs
from contracts.windows import PATTERN
from fastapi import FastAPI

DATES = {"from", "to", "on", "workday", "directory_workday", "valid_from", "valid_until"}
"""And `…_on`."""
INSTANTS = {"at", "now", "clock"}
"""And `…_at`. `now` and `clock` are a tenant's time itself, which goes on."""
SINCE_BEFORE = {"SessionEnded.until", "BandStayed.withdrawn", "Headers.ce_time", "Headers.ce_source", "Headers.ce_type"}
"""Fields of events never get another name (docs/events.md), and CloudEvents has its own."""
ENUMS = {"state", "status", "kind", "type", "outcome", "period", "role", "grain", "unit", "direction", "mode", "verdict",
         "channel", "about", "protocol", "trigger", "op", "severity", "level", "service"}  # fmt: skip
"""What is chosen from a few values, which are then named. So are `…_kind` and the like, and every `…_code`."""
OWN_WORDS = {
    "AgentStateChanged.state": "the vendor's",
    "AuditEntry.kind": "each service's things, docs/audit.md",
    "ConfigurationChanged.kind": "each service's things, docs/audit.md",
    "Named.kind": "each service's things",
    "OrgUnitChanged.kind": "the tenant's",
    "OrgUnitView.kind": "the tenant's",
    "Problem.type": "docs/problems.md",
}
"""Where the values are not the field's to name: whose they are."""
DATES_AS_TEXT = {
    "AttributeSpec.value": "whatever an attribute holds",
    "PersonAttribute.value": "whatever an attribute holds",
}


def fields(schemas: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, schema in schemas.items():
        for field, said in schema.get("properties", {}).items():
            yield f"{name}.{field}", field, said


@pytest.fixture(scope="session")
def said(apps: dict[str, FastAPI]) -> list[tuple[str, str, dict[str, Any]]]:
    """Place, name and schema of all fields and query parameters of the API, and of all fields of events."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for app in apps.values():
        document = app.openapi()
        found += fields(document["components"]["schemas"])
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                for each in operation.get("parameters", []):
                    if each["in"] == "query":
                        found.append((f"{method} {path} ?{each['name']}", each["name"], each["schema"]))
    return [*found, *fields(docs.asyncapi()["components"]["schemas"])]


def branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema without its null, and what an array of it holds."""
    whole = [each for choice in ("anyOf", "oneOf") for each in schema.get(choice, [])] or [schema]
    return [each["items"] if each.get("type") == "array" and "items" in each else each for each in whole]


def formats(schema: Mapping[str, Any]) -> set[str]:
    return {each["format"] for each in branches(schema) if "format" in each}


def test_an_instant_ends_in_at_and_a_day_in_on(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    wrong = set()
    for place, name, schema in said:
        if place in SINCE_BEFORE:
            continue
        is_day, is_instant = "date" in formats(schema), "date-time" in formats(schema)
        if is_day != (name in DATES or name.endswith("_on")) and (is_day or name.endswith("_on")):
            wrong.add(f"{place}: a day is `…_on`, `from` or `to`, and nothing else is")
        if is_instant != (name in INSTANTS or name.endswith("_at")):
            wrong.add(f"{place}: an instant is `at` or `…_at`, and nothing else is")
    assert sorted(wrong) == []


def test_a_window_is_called_by_iso_8601(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    wrong = set()
    for place, name, schema in said:
        if place in SINCE_BEFORE or place in DATES_AS_TEXT:
            continue
        patterns = {each.get("pattern") for each in branches(schema)}
        if (PATTERN in patterns) != (name == "window" or name.endswith("_window")):
            wrong.add(f"{place}: a window is `window` or `…_window`, a `WindowName`, and nothing else is")
        if name in {"week", "month", "day", "first", "last", "since", "until", "begin", "end"} and (
            formats(schema) or any(each.get("type") == "string" for each in branches(schema))
        ):
            wrong.add(f"{place}: a window is `window`, its days `from` and `to`, an instant `…_at`")
        for example in schema.get("examples", []):
            looks = isinstance(example, str) and re.match(PATTERN, example) and not formats(schema)
            if looks and name != "window" and not name.endswith("_window"):
                wrong.add(f"{place}: {example!r} is a window's name")
    assert sorted(wrong) == []


def test_what_has_a_unit_says_so_in_its_name(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    wrong = set()
    for place, name, _ in said:
        if re.search(r"(_sec|_secs|_s|_mins?|_msec|_millis|_hrs?|_pct|_perc|duration|_len)$", name):
            wrong.add(f"{place}: units are `_ms`, `_seconds`, `_minutes`, `_days`, `_percent`")
        if re.search(r"(^|_)(tz|timezone|locale|lang)$", name):
            wrong.add(f"{place}: `time_zone`, `language`")
    assert sorted(wrong) == []


def test_a_value_of_a_kpi_is_a_decimal_as_text(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    places = {place: {each.get("type") for each in branches(schema)} for place, _, schema in said}
    for place in ("CutValue.value", "Answer.value", "JudgedWindow.value", "Window.value", "Score.value"):
        assert places[place] == {"string", "null"}, place


def test_a_reason_is_a_code_with_words_and_no_sentence(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Why something of a person's was taken back; what administrators are told of machines is in one language."""
    places = {
        place: [each.get("$ref", "").rpartition("/")[2] for each in branches(schema)] for place, _, schema in said
    }
    for place in ("Assignment.withdrawn_reason", "AssignmentDetail.withdrawn_reason", "Entry.reason"):
        assert "Reason" in places[place], place


def test_what_is_chosen_from_a_few_names_them(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    wrong = set()
    for place, name, schema in said:
        if place in SINCE_BEFORE:
            continue
        if name in ENUMS or name.rpartition("_")[2] in (ENUMS - {"unit", "service"}) | {"code"}:
            for each in branches(schema):
                if each.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(each):
                    wrong.add(place)
    assert sorted(wrong - set(OWN_WORDS)) == []
    assert sorted(set(OWN_WORDS) - wrong) == []
