"""The example of every event, handed twice to each of its readers on a database of its own: none chokes on it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from contracts import ALL_SERVICES, TOPICS, Event, Topic, type_registry
from servicekit import Service
from testkit import Harness, parse_instant

TENANT = "demo"


def examples(topic: Topic) -> Iterator[Event]:
    """What may come by this topic, made from the examples of the contracts."""
    for cls in type_registry.values():
        overrides: dict[str, Any] = {}
        if topic.name.endswith((".sections", ".audit")):
            overrides = {"service": topic.writer}
        elif topic.name == "legs.history":
            overrides = {"mode": "history"}
        if not cls.topic.startswith("*") or "service" in overrides:
            event = cls.model_validate({**cls.example, **overrides})
            if event.target_topic() == topic.name:
                yield event


def test_every_topic_has_examples() -> None:
    assert [name for name, topic in TOPICS.items() if not list(examples(topic))] == []


@pytest.mark.parametrize("reader", ALL_SERVICES)
@pytest.mark.parametrize("known", [True, False], ids=["people known", "nobody known"])
async def test_readers_take_every_example(
    services: Sequence[Service], harness_for: Callable[..., Awaitable[Harness]], reader: str, known: bool
) -> None:
    (service,) = (each for each in services if each.name == reader)
    harness = await harness_for(service)
    failures: list[str] = []
    topics = [topic for topic in TOPICS.values() if reader in topic.readers and (known or topic.name != "directory")]
    if not known:
        await harness.apply_directory(TENANT)
    for topic in topics:
        for event in examples(topic):
            try:
                await harness.deliver(event, tenant=TENANT, at=parse_instant("2026-03-04T08:00Z"), topic=topic.name)
            except Exception as error:
                failures.append(f"{event.type} on {topic.name}: {type(error).__name__}: {str(error)[:500]}")
    assert failures == []
