"""Every event has an owner that sends it and a reader that does something with it; every reader really reads."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from contracts import TOPICS, type_registry
from servicekit import PlatformSettings, Service
from servicekit.door import UnitOfWorkRoute
from servicekit.tokens import TokenVerifier
from servicekit.wiring import RunningService, build_service

from tests.architecture.files import PACKAGES, files


@pytest.fixture(scope="module")
def wired(services: Sequence[Service]) -> dict[str, RunningService]:
    """The services' parts, put together without a database behind them."""

    async def build() -> dict[str, RunningService]:
        settings = PlatformSettings()
        async with httpx.AsyncClient() as http:
            verifier = TokenVerifier(http, issuer=settings.issuer, audience=settings.audience)
            return {
                each.name: build_service(each, settings, http=http, verifier=verifier, stopping=asyncio.Event())
                for each in services
            }

    return asyncio.run(build())


def source(service: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in files(PACKAGES[service], ".py"))


def test_who_is_declared_a_reader_reads_and_nobody_else(wired: dict[str, RunningService]) -> None:
    declared = {name: {topic.name for topic in TOPICS.values() if name in topic.readers} for name in wired}
    assert {name: set(running.doors) for name, running in wired.items()} == declared


def test_topics_have_an_owner_and_readers(wired: dict[str, RunningService]) -> None:
    for topic in TOPICS.values():
        assert topic.writer in wired, topic.name
        assert topic.readers, topic.name
        assert set(topic.readers) <= set(wired), topic.name


def carries(topic: str, event_type: str) -> bool:
    of = type_registry[event_type].topic
    return topic.endswith(of[1:]) if of.startswith("*") else topic == of or topic.startswith(f"{of}.")


def test_readers_handle_only_what_their_topic_carries(wired: dict[str, RunningService]) -> None:
    for name, running in wired.items():
        for topic, door in running.doors.items():
            for event in door.subscription.handlers:
                assert carries(topic, event.type), f"{name} waits for {event.type} on {topic}"


@pytest.mark.parametrize("event_type", sorted(type_registry))
def test_every_event_has_somebody_who_does_something_with_it(wired: dict[str, RunningService], event_type: str) -> None:
    doors = [door for running in wired.values() for topic, door in running.doors.items() if carries(topic, event_type)]
    cls = type_registry[event_type]
    assert any(
        door.subscription.batch or cls in door.subscription.handlers or cls.topic == "directory" for door in doors
    )


@pytest.mark.parametrize("event_type", sorted(type_registry))
def test_every_event_is_sent_by_its_owner(event_type: str) -> None:
    cls = type_registry[event_type]
    writers = {topic.writer for topic in TOPICS.values() if carries(topic.name, event_type)}
    # Functions of servicekit that send it.
    sent_by = {
        "SectionApplied": "publish_section",
        "SectionRejected": "reject_section|handle_section",
        "ConfigurationChanged": "servicekit.audit",
    }.get(cls.__name__, "")
    missing = [
        writer
        for writer in writers
        if not re.search(rf"\b({cls.__name__}{sent_by and '|' + sent_by})\b", source(writer))
    ]
    assert missing == [], f"{cls.__name__} is never made by"


def test_what_is_scheduled_has_a_handler(wired: dict[str, RunningService]) -> None:
    for name, running in wired.items():
        kinds = set(re.findall(r"\.schedule\(\s*\"([\w-]+)\"", source(name)))
        assert kinds <= set(running.parts.due_handlers), f"{name} schedules what nobody handles"


def test_routes_are_units_of_work(wired: dict[str, RunningService]) -> None:
    """Made by `servicekit.router()`: a plain router would answer before the commit."""

    def plain(routes: Sequence[Any]) -> list[str]:
        found: list[str] = []
        for route in routes:
            if isinstance(route, UnitOfWorkRoute):
                continue
            included = getattr(route, "original_router", None)  # what was included is looked up when it is asked for
            found += plain(included.routes) if included else [getattr(route, "path", str(route))]
        return found

    assert plain([route for running in wired.values() for route in running.parts.router.routes]) == []
