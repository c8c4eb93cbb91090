"""Every event has an example that survives the wire, an owner and a reader."""

from datetime import UTC, datetime

import pytest
from contracts import TOPICS, Attributes, Event, type_registry


@pytest.mark.parametrize("event_type", sorted(type_registry))
def test_example_survives_the_wire(event_type: str) -> None:
    cls = type_registry[event_type]
    event = cls.model_validate(cls.example)
    assert cls.model_validate_json(event.model_dump_json()) == event
    assert cls.__doc__
    assert event.key("demo")
    topic = TOPICS[event.target_topic()]
    assert topic.writer
    assert topic.readers


def test_attributes_survive_the_headers() -> None:
    cause = Attributes.create("leg.recorded", source="ingest", tenant="demo", time=datetime(2026, 3, 2, 8, tzinfo=UTC))
    effect = Attributes.create("score.changed", source="kpi-engine", tenant="demo", time=cause.time, cause=cause)
    assert Attributes.from_headers(effect.to_headers()) == effect
    assert effect.causationid == cause.id
    assert effect.correlationid == cause.correlationid


def test_a_reader_ignores_fields_it_does_not_know() -> None:
    cls: type[Event] = type_registry["leg.recorded"]
    assert cls.model_validate({**cls.example, "from_the_future": 1}) == cls.model_validate(cls.example)
