"""What every reader of events bears: twice, late, and out of order.

A service subclasses `LateConformance` and writes down a short course of events for every topic it reads. The course is
delivered to a tenant once and in order. Whatever else happens to the same events in other tenants, their tables end
equal.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

import pytest
from contracts import Event, type_registry
from contracts.blueprints import SectionApplied
from contracts.directory import PersonChanged, SessionEnded, TenantChanged
from contracts.section_names import NAME_FIELD
from messaging.broker import Message
from servicekit.event_door import parse_message
from servicekit.service_definition import Service, Subscription
from sqlalchemy import text

from testkit.builders import org_unit, person
from testkit.builders import parse_instant as instant
from testkit.harness import Harness

_DIRECTORY = ("tenant.changed", "org_unit.changed", "person.changed", "session.ended")
_TECHNICAL_TABLES = frozenset(
    {"outbox", "consumer_offset", "idempotent_response", "due_item", "document", "dead_letter"}
)
_TECHNICAL_COLUMNS = frozenset({"tenant", "id", "event_id", "seq", "heard", "known_at", "document", "updated_at"})


_WHEN = instant("2026-03-20T08:00Z")


@dataclass(frozen=True)
class ScriptedEvent:
    """An event at its place in the course. `topic` None: the event's own. `erased`: a tombstone of the state `body`."""

    body: Event
    at: datetime = _WHEN
    topic: str | None = None
    erased: bool = False


@dataclass(frozen=True)
class EventScript:
    """`phases`: what is said, in order; only within a phase does it come in another order. `traces`: tables that it fills.
    `unsettled`: types of events
    that, when they come for the first time after newer ones, rightly do not do what they would have done in time, and
    why; each has tests of its own. `ignored`: columns that tell how something came about, by table. `without`: tables
    that hold nothing but what is needed on the way, such as locks."""

    phases: Sequence[Sequence[ScriptedEvent]]
    affected_tables: Collection[str]
    unsettled: Mapping[type[Event], str] = field(default_factory=dict[type[Event], str])
    ignored: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    excluded_types: Collection[str] = ()


class LateConformance:
    """The suite. `service` is the one it is for."""

    service: ClassVar[Service]

    def event_script(self) -> EventScript:
        raise NotImplementedError

    @pytest.fixture
    async def reader(self, harness_for: Callable[..., Awaitable[Harness]]) -> Harness:
        return await harness_for(self.service)

    async def test_every_reader_has_a_course(self, reader: Harness) -> None:
        """A subscription whose events are not in the course is one of which nobody knows what it bears."""
        said = {(_topic(each), each.body.type) for phase in self.event_script().phases for each in phase}
        read = {
            (topic, kind) for topic, door in reader.running.doors.items() for kind in _kinds(topic, door.subscription)
        }
        assert read - said == set(), "add events of these topics and types to the course"

    async def test_what_comes_twice_or_once_more_after_newer_changes_nothing(self, reader: Harness) -> None:
        course = self.event_script()
        await _deliver_script(reader, "in-order", course)
        expected = await _tables(reader, "in-order", course)
        assert {each for each in course.affected_tables if not expected[each]} == set(), (
            "the course leaves no trace there"
        )
        said = [each for phase in course.phases for each in phase]
        for again in (said, list(reversed(said)), _shuffled(said, seed=1)):
            await _deliver_script(reader, "in-order", course, [again])
            _assert_same_tables(await _tables(reader, "in-order", course), expected)

    async def test_a_whole_course_that_is_heard_twice_event_by_event(self, reader: Harness) -> None:
        course = self.event_script()
        await _deliver_script(reader, "in-order", course)
        await _deliver_script(
            reader, "twice", course, [[each for each in phase for _ in (1, 2)] for phase in course.phases]
        )
        _assert_same_tables(await _tables(reader, "twice", course), await _tables(reader, "in-order", course))

    async def test_the_order_between_keys_does_not_matter(self, reader: Harness) -> None:
        course = self.event_script()
        await _deliver_script(reader, "in-order", course)
        expected = await _tables(reader, "in-order", course)
        for seed in (1, 2):
            tenant = f"shuffled-{seed}"
            await _deliver_script(
                reader, tenant, course, [_shuffle_across_keys(phase, seed) for phase in course.phases]
            )
            _assert_same_tables(await _tables(reader, tenant, course), expected)

    async def test_what_comes_late_for_the_first_time_changes_nothing_newer(self, reader: Harness) -> None:
        """As a dead letter does that is replayed after its cause was mended."""
        course = self.event_script()
        await _deliver_script(reader, "in-order", course)
        expected = await _tables(reader, "in-order", course)
        for number, phase in enumerate(course.phases):
            for place, late in enumerate(phase):
                if type(late.body) in course.unsettled or place == len(phase) - 1:
                    continue
                tenant = f"late-{number}-{place}"
                moved = [*phase[:place], *phase[place + 1 :], late]
                phases = [*course.phases[:number], moved, *course.phases[number + 1 :]]
                await _deliver_script(reader, tenant, course, phases)
                _assert_same_tables(await _tables(reader, tenant, course), expected, late)


def directory_script(*people: PersonChanged) -> list[ScriptedEvent]:
    """Every kind of thing that the directory says, with later states and erasures; `people` stay as they are."""
    when = instant("2026-03-02T08:00Z")
    over = SessionEnded(iss="test", sid="s-1", ended_at=when, until=when)
    gone, changed = person("gone", team="team-a", version=4), {"display_name": "Another"}
    return [
        ScriptedEvent(TenantChanged(slug="", name="The tenant", version=1)),
        ScriptedEvent(TenantChanged(slug="", name="The tenant, renamed", time_zone="Europe/Berlin", version=2)),
        ScriptedEvent(org_unit("team-a", version=1)),
        ScriptedEvent(org_unit("team-a", parent="site", version=2)),
        ScriptedEvent(org_unit("site", version=1)),
        *(ScriptedEvent(each.model_copy(update={"version": 1, "active": False, "memberships": []})) for each in people),
        *(ScriptedEvent(each.model_copy(update={"version": 2})) for each in people),
        ScriptedEvent(gone),
        ScriptedEvent(gone.model_copy(update={**changed, "version": 5})),
        ScriptedEvent(gone.model_copy(update={"version": 5}), erased=True),
        ScriptedEvent(over),
        ScriptedEvent(over, erased=True),
    ]


def sections_script(*services: str) -> list[ScriptedEvent]:
    """What these services say of their sections, each twice."""
    things = {
        "kpi-engine": "kpis",
        "training": "templates",
        "gamification": "rules",
        "forms": "forms",
        "ingest": "sources",
        "notification": "rules",
    }
    return [
        ScriptedEvent(
            SectionApplied(service=name, version=None, content={things[name]: [{NAME_FIELD[things[name]]: each}]})
        )
        for name in services
        for each in ("older", "newer")
    ]


def _topic(said: ScriptedEvent) -> str:
    return said.topic or said.body.target_topic()


def _kinds(topic: str, subscription: Subscription) -> set[str]:
    """The types that a subscription handles; the copy of the directory takes all of its topic's."""
    if topic == "directory":
        return set(_DIRECTORY)
    if subscription.batch is not None:
        of_topic = {each.type for each in subscription.types} if subscription.types else set(type_registry)
    else:
        of_topic = {each.type for each in subscription.handlers}
    return {kind for kind in of_topic if _topic_carries(topic, kind)}


def _topic_carries(topic: str, kind: str) -> bool:
    declared = type_registry[kind].topic
    return (
        topic == declared
        or (topic, declared) == ("legs.history", "legs")
        or (declared == "*.sections" and topic.endswith(".sections"))
    )


def _messages(reader: Harness, tenant: str, course: EventScript) -> dict[int, Message]:
    """By the identity of what is said: the same event has the same id whenever it comes, and ids rise in the order in
    which things were said."""
    made: dict[int, Message] = {}
    for number, each in enumerate(each for phase in course.phases for each in phase):
        body = each.body
        if isinstance(body, TenantChanged):
            body = body.model_copy(update={"slug": tenant})
        message = reader.message(body, tenant=tenant, at=each.at, topic=each.topic, event_id=UUID(int=1 + number))
        if each.erased:
            version = getattr(each.body, "state_version")()  # noqa: B009
            message = replace(message, value=None, headers={**message.headers, "ce_version": str(version)})
        made[id(each)] = message
    return made


async def _deliver_script(
    reader: Harness, tenant: str, course: EventScript, phases: Sequence[Sequence[ScriptedEvent]] | None = None
) -> None:
    messages = _messages(reader, tenant, course)
    await _deliver_singly(reader, [messages[id(each)] for phase in phases or course.phases for each in phase])


async def _deliver_singly(reader: Harness, messages: Sequence[Message]) -> None:
    """Each in a batch of its own, as a replayed dead letter comes."""
    for message in messages:
        received = parse_message(message)
        async with reader.context.sessions.begin([received.tenant], now=received.attributes.time) as session:
            await reader.running.doors[message.topic].handle(session, [received])


def _shuffled(said: Sequence[ScriptedEvent], seed: int) -> list[ScriptedEvent]:
    found = list(said)
    random.Random(seed).shuffle(found)
    return found


def _shuffle_across_keys(phase: Sequence[ScriptedEvent], seed: int) -> list[ScriptedEvent]:
    """Shuffled, but for the order of each key."""
    lanes: dict[tuple[str, str], list[ScriptedEvent]] = {}
    for each in phase:
        lanes.setdefault((_topic(each), each.body.key("t")), []).append(each)
    turns = [lane for lane, of_lane in lanes.items() for _ in of_lane]
    random.Random(seed).shuffle(turns)
    waiting = {lane: iter(of_lane) for lane, of_lane in lanes.items()}
    return [next(waiting[lane]) for lane in turns]


async def _tables(reader: Harness, tenant: str, course: EventScript) -> dict[str, Counter[str]]:
    """What each of the service's tables holds of a tenant, but for technical columns and ids that are made anew."""
    known = {str(found) for phase in course.phases for each in phase for found in _uuids(each.body.model_dump())}
    async with reader.context.sessions.engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
                "JOIN information_schema.tables USING (table_schema, table_name) "
                "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' GROUP BY table_name HAVING 'tenant' = ANY(array_agg(column_name::text))"
            )
        )
        columns: dict[str, list[str]] = {row[0]: row[1] for row in found}
    held: dict[str, Counter[str]] = {}
    for table in sorted(set(columns) - _TECHNICAL_TABLES - set(course.excluded_types)):
        hidden = _TECHNICAL_COLUMNS | set(course.ignored.get(table, ()))
        shown = sorted(name for name in columns[table] if name not in hidden)
        quoted = ", ".join(f'"{name}"' for name in shown) or "1 AS one"
        rows = await reader.rows(tenant, f'SELECT {quoted} FROM "{table}"')
        held[table] = Counter(
            repr([(name, _normalize_value(row[name], known, tenant)) for name in shown]) for row in rows
        )
    return held


def _uuids(value: Any) -> set[UUID]:
    match value:
        case UUID():
            return {value}
        case dict():
            return {found for each in cast("dict[str, Any]", value).values() for found in _uuids(each)}
        case list() | tuple():
            return {found for each in cast("list[Any]", value) for found in _uuids(each)}
        case _:
            return set()


def _normalize_value(value: Any, known: Collection[str], tenant: str) -> Any:
    match value:
        case UUID():
            return str(value) if str(value) in known else "made anew"
        case str():
            return value.replace(tenant, "the tenant")
        case dict():
            items = sorted(cast("dict[str, Any]", value).items())
            return {name: _normalize_value(each, known, tenant) for name, each in items}
        case list() | tuple():
            return [_normalize_value(each, known, tenant) for each in cast("list[Any]", value)]
        case _:
            return value


def _assert_same_tables(
    found: Mapping[str, Counter[str]], expected: Mapping[str, Counter[str]], late: ScriptedEvent | None = None
) -> None:
    for table, rows in expected.items():
        missing, more = rows - found[table], found[table] - rows
        assert (missing, more) == (Counter(), Counter()), f"{table} differs after a late {late and late.body.type}"
