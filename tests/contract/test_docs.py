"""The generated pages are what the code says, and the AsyncAPI document holds together."""

import json
from pathlib import Path
from typing import Any

import pytest
from all_in_one import docs
from contracts import TOPICS, type_registry


def test_pages_are_up_to_date() -> None:
    assert docs.find_stale_pages() == [], "run `uplift docs --write`"


def test_a_stale_page_is_told_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert docs.find_stale_pages(tmp_path) == list(docs.PAGES)
    assert docs.write_pages(tmp_path) == list(docs.PAGES)
    assert docs.find_stale_pages(tmp_path) == []
    (tmp_path / "events.md").write_text("something else")
    assert docs.write_pages(tmp_path) == ["events.md"]


def test_every_event_and_topic_is_in_both() -> None:
    page, document = docs.render_events(), docs.asyncapi()
    assert set(document["channels"]) == set(TOPICS)
    assert set(document["components"]["messages"]) == set(type_registry)
    for name in (*TOPICS, *type_registry):
        assert f"`{name}`" in page
    for name, operation in document["operations"].items():
        service, action, topic = name.split(".", 2)
        assert operation["action"] == action.removesuffix("s")
        assert service in (TOPICS[topic].writer, *TOPICS[topic].readers)


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(docs.render_asyncapi())

    def follow(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                target: Any = document
                for part in str(value["$ref"]).removeprefix("#/").split("/"):
                    target = target[part]
            for each in value.values():
                follow(each)
        elif isinstance(value, list):
            for each in value:
                follow(each)

    follow(document)


def test_keys_are_shown_by_the_fields_they_are_made_of() -> None:
    patterns = {name: docs.key_pattern(cls.model_validate(cls.example)) for name, cls in type_registry.items()}
    assert patterns["person.changed"] == "person/<tenant>/<id>"
    assert patterns["leg.recorded"] == "<tenant>|<agent_id>"
    assert patterns["blueprint.section_applied"] == "blueprint.section_applied/<tenant>"
