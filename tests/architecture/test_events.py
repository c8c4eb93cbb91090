"""Every event has an owner that sends it and a reader that does something with it; every reader really reads."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from contracts import TOPICS, Topic, type_registry
from fastapi import APIRouter
from servicekit import PlatformSettings, Service, route_policy, router
from servicekit.door import TransactionalRoute
from servicekit.event_door import EventDoor
from servicekit.tokens import TokenVerifier
from servicekit.wiring import RunningService, build_service

from tests.architecture.files import PACKAGES, files

Wired = Mapping[str, RunningService]
Topics = Mapping[str, Topic]


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


def find_wrong_readers(wired: Wired, topics: Topics = TOPICS) -> list[str]:
    """Services that are declared readers of a topic and have no door for it, or the other way round."""
    return [
        f"{name}: {topic}"
        for name, running in wired.items()
        for topic in sorted({each.name for each in topics.values() if name in each.readers} ^ set(running.doors))
    ]


def test_who_is_declared_a_reader_reads_and_nobody_else(wired: Wired) -> None:
    assert find_wrong_readers(wired) == []


def find_lonely_topics(wired: Wired, topics: Topics = TOPICS) -> list[str]:
    """Topics without readers, or with an owner or a reader that is no service."""
    return [
        topic.name for topic in topics.values() if not topic.readers or not {topic.writer, *topic.readers} <= set(wired)
    ]


def test_topics_have_an_owner_and_readers(wired: Wired) -> None:
    assert find_lonely_topics(wired) == []


def carries(topic: str, event_type: str) -> bool:
    of = type_registry[event_type].topic
    return topic.endswith(of[1:]) if of.startswith("*") else topic == of or topic.startswith(f"{of}.")


def find_handlers_that_wait_in_vain(wired: Wired) -> list[str]:
    """Handlers of events that their topic never carries."""
    return [
        f"{name}: {event.type} on {topic}"
        for name, running in wired.items()
        for topic, door in running.doors.items()
        for event in door.subscription.handlers
        if not carries(topic, event.type)
    ]


def test_readers_handle_only_what_their_topic_carries(wired: Wired) -> None:
    assert find_handlers_that_wait_in_vain(wired) == []


def find_unread_events(wired: Wired) -> list[str]:
    """Types of events that no reader handles. The directory's are read by servicekit for every service."""
    doors = [(topic, door.subscription) for running in wired.values() for topic, door in running.doors.items()]
    return [
        name
        for name, cls in type_registry.items()
        if cls.topic != "directory"
        and not any(carries(topic, name) and (each.batch or cls in each.handlers) for topic, each in doors)
    ]


def test_every_event_has_somebody_who_does_something_with_it(wired: Wired) -> None:
    assert find_unread_events(wired) == []


# Functions of servicekit that send it.
SENT_BY = {
    "SectionApplied": "publish_section",
    "SectionRejected": "handle_section|publish_section_result",
    "ConfigurationChanged": "servicekit.audit",
}


def find_unsent_events(source: Callable[[str], str]) -> list[str]:
    """Types of events with owners whose source, by `source`, names neither the event nor what sends it."""
    return [
        f"{writer}: {name}"
        for name, cls in type_registry.items()
        for writer in sorted({topic.writer for topic in TOPICS.values() if carries(topic.name, name)})
        if not re.search(rf"\b({'|'.join(filter(None, (cls.__name__, SENT_BY.get(cls.__name__))))})\b", source(writer))
    ]


def test_every_event_is_sent_by_its_owner() -> None:
    assert find_unsent_events(source) == []


def find_unhandled_kinds(wired: Wired, source: Callable[[str], str]) -> list[str]:
    """Kinds of due items that a service schedules and does not handle."""
    return [
        f"{name}: {kind}"
        for name, running in wired.items()
        for kind in sorted(set(re.findall(r"\.schedule\(\s*\"([\w-]+)\"", source(name))))
        if kind not in running.parts.due_handlers
    ]


def test_what_is_scheduled_has_a_handler(wired: Wired) -> None:
    assert find_unhandled_kinds(wired, source) == []


def find_plain_routes(routes: Sequence[Any]) -> list[str]:
    """The paths of routes that are no transactions."""
    found: list[str] = []
    for route in routes:
        if isinstance(route, TransactionalRoute):
            continue
        included = getattr(route, "original_router", None)  # what was included is looked up when it is asked for
        found += find_plain_routes(included.routes) if included else [getattr(route, "path", str(route))]
    return found


def test_routes_are_units_of_work(wired: Wired) -> None:
    """Made by `servicekit.router()`: a plain router would answer before the commit."""
    assert find_plain_routes([route for each in wired.values() for route in each.parts.router.routes]) == []


def test_wrong_topics_are_found(wired: Wired) -> None:
    topics = [
        Topic("legs", writer="ingest", readers=()),
        Topic("scores", writer="kpi-engine", readers=("nobody",)),
        Topic("bands", writer="nobody", readers=("training",)),
    ]
    assert find_lonely_topics(wired, {each.name: each for each in topics}) == ["legs", "scores", "bands"]
    name, topic = next((name, each) for name in wired for each in TOPICS.values() if name in each.readers)
    fewer = replace(topic, readers=tuple(reader for reader in topic.readers if reader != name))
    assert find_wrong_readers(wired, {**TOPICS, topic.name: fewer}) == [f"{name}: {topic.name}"]


def test_a_reader_that_is_missing_or_waits_in_vain_is_found(wired: Wired) -> None:
    name, running, topic, door = next(
        (name, running, topic, door)
        for name, running in wired.items()
        for topic, door in running.doors.items()
        if not topic.endswith(("directory", ".sections", ".audit"))
    )
    without = {each: replace(running, doors={}) for each, running in wired.items()}
    expected = [event for event, cls in type_registry.items() if cls.topic != "directory"]
    assert find_unread_events(without) == expected
    assert f"{name}: {topic}" in find_wrong_readers(without)

    async def handle(*_: Any) -> None: ...

    stray = next(cls for cls in type_registry.values() if not carries(topic, cls.type))
    wrong = EventDoor(door._sessions, replace(door.subscription, handlers={stray: handle}))
    wired = {name: replace(running, doors={topic: wrong})}
    assert find_handlers_that_wait_in_vain(wired) == [f"{name}: {stray.type} on {topic}"]


def test_an_event_that_nobody_sends_and_work_that_nobody_does_are_found(wired: Wired) -> None:
    assert {each.partition(": ")[2] for each in find_unsent_events(lambda _: "")} == set(type_registry)
    schedules = 'await session.schedule(\n    "forgotten", at)'
    assert find_unhandled_kinds(wired, lambda _: schedules) == [f"{name}: forgotten" for name in wired]


def test_a_plain_route_is_found() -> None:
    async def handle() -> None: ...

    inner, outer = APIRouter(), router()
    inner.add_api_route("/inner", handle)
    outer.add_api_route("/unit", route_policy(reach="tenant")(handle))
    outer.include_router(inner)
    assert find_plain_routes(outer.routes) == ["/inner"]
