"""Problems of a source have a pointer to the place, and a cure."""

from typing import Any

import pytest
from ingest.model.refusal import Refusal
from ingest.model.sources import SourceSpec, build_source

FIELDS: dict[str, Any] = {"contact": {"from": "id"}, "started": {"from": "at"}, "channel": {"value": "voice"}}


@pytest.mark.parametrize(
    ("mapping", "pointer", "cure"),
    [
        ({"fields": {**FIELDS, "talk_ms": {"from": "t", "unit": "sec"}}}, "/mapping/fields/talk_ms/unit", "One of ms, s, min, HH:MM:SS, percent."),
        ({"fields": {**FIELDS, "talk_ms": {"form": "t"}}}, "/mapping/fields/talk_ms/form", "Did you mean `from`? Otherwise leave it out."),
        ({"fields": {**FIELDS, "talk_ms": 3}}, "/mapping/fields/talk_ms", "Write named fields: {name: …}."),
        ({"fields": {**FIELDS, "talk_ms": {"from": 3}}}, "/mapping/fields/talk_ms/from", "Write a text in quotes or a list: [ … ] or null."),
        ({"fields": FIELDS, "skip": [{"from": "x"}]}, "/mapping/skip/0/is", "Add `is`."),
        ({"fields": FIELDS, "decimal_comma": "yes"}, "/mapping/decimal_comma", "Write true or false."),
        ({"field": FIELDS}, "/mapping/field", "Did you mean `fields`? Otherwise leave it out."),
        ({"attributes": {}}, "/mapping/fields", "Add `fields`."),
    ],
)  # fmt: skip
def test_a_mapping_of_another_shape(mapping: dict[str, Any], pointer: str, cure: str) -> None:
    with pytest.raises(Refusal) as refused:
        build_source("s", SourceSpec(vendor="generic", mapping=mapping))
    assert (refused.value.field, refused.value.cure) == (pointer, cure)


@pytest.mark.parametrize(
    ("options", "pointer", "cure"),
    [
        ({"channels": {"VIDEO": "film"}}, "/options/channels/VIDEO", "One of voice, chat, task, email."),
        ({"timezone": "UTC"}, "/options/timezone", "Did you mean `time_zone`? Otherwise leave it out."),
        ({"keep_attributes": "all"}, "/options/keep_attributes", "Write a list: [ … ] or null."),
    ],
)
def test_options_of_another_shape(options: dict[str, Any], pointer: str, cure: str) -> None:
    with pytest.raises(Refusal) as refused:
        build_source("s", SourceSpec(vendor="amazon-connect", options=options))
    assert (refused.value.field, refused.value.cure) == (pointer, cure)
