"""The tests that every reader of events has to pass: events come twice, late, or out of order.

A service subclasses `LateConformance` and writes a short script of events for every topic that it reads. The script is
delivered to one tenant once and in order. Other tenants get the same events twice, late or in another order, and must end
with equal tables.
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
    """An event of a script, published at `at`. `topic` None means the event's own topic. With `erased` it is a tombstone of the
    state `body`."""

    body: Event
    at: datetime = _WHEN
    topic: str | None = None
    erased: bool = False


@dataclass(frozen=True)
class EventScript:
    """The events that a service reads, and where their effects are.

    `phases` are the events in their order; tests change the order only within a phase. `affected_tables` must have rows
    afterwards. `unsettled` are types of events that rightly have another effect when they come for the first time after
    newer ones, each with the reason; they have tests of their own. `ignored` are columns, by table, that depend on the
    order of events. `excluded_tables` are tables that are not compared, because they hold only intermediate state.
    """

    phases: Sequence[Sequence[ScriptedEvent]]
    affected_tables: Collection[str]
    unsettled: Mapping[type[Event], str] = field(default_factory=dict[type[Event], str])
    ignored: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    excluded_tables: Collection[str] = ()


class LateConformance:
    """The suite. A test class inherits it, sets `service` and defines `event_script`."""

    service: ClassVar[Service]

    def event_script(self) -> EventScript:
        """The service's script."""
        raise NotImplementedError

    @pytest.fixture
    async def reader(self, harness_for: Callable[..., Awaitable[Harness]]) -> Harness:
        """The service on a database of its own."""
        return await harness_for(self.service)

    async def test_every_subscription_is_in_the_script(self, reader: Harness) -> None:
        """A subscription whose events are not in the script would not be tested."""
        scripted = {(_topic(each), each.body.type) for phase in self.event_script().phases for each in phase}
        read = {
            (topic, kind) for topic, door in reader.running.doors.items() for kind in _kinds(topic, door.subscription)
        }
        assert read - scripted == set(), "add events of these topics and types to the script"

    async def test_events_that_come_again_change_nothing(self, reader: Harness) -> None:
        """All events once more, in their order, reversed and shuffled, leave the tables as they are."""
        script = self.event_script()
        await _deliver_script(reader, "in-order", script)
        expected = await _tables(reader, "in-order", script)
        assert {each for each in script.affected_tables if not expected[each]} == set(), (
            "the script writes no rows there"
        )
        events = [each for phase in script.phases for each in phase]
        for again in (events, list(reversed(events)), _shuffled(events, seed=1)):
            await _deliver_script(reader, "in-order", script, [again])
            _assert_same_tables(await _tables(reader, "in-order", script), expected)

    async def test_each_event_twice_in_a_row_has_one_effect(self, reader: Harness) -> None:
        """A tenant that gets each event twice has the tables of one that gets it once."""
        script = self.event_script()
        await _deliver_script(reader, "in-order", script)
        await _deliver_script(
            reader, "twice", script, [[each for each in phase for _ in (1, 2)] for phase in script.phases]
        )
        _assert_same_tables(await _tables(reader, "twice", script), await _tables(reader, "in-order", script))

    async def test_the_order_between_keys_does_not_matter(self, reader: Harness) -> None:
        """Events of different keys may come in any order; those of one key keep theirs."""
        script = self.event_script()
        await _deliver_script(reader, "in-order", script)
        expected = await _tables(reader, "in-order", script)
        for seed in (1, 2):
            tenant = f"shuffled-{seed}"
            await _deliver_script(
                reader, tenant, script, [_shuffle_across_keys(phase, seed) for phase in script.phases]
            )
            _assert_same_tables(await _tables(reader, tenant, script), expected)

    async def test_an_event_that_comes_late_for_the_first_time_changes_nothing_newer(self, reader: Harness) -> None:
        """A dead letter comes so, when it is replayed after its cause was corrected."""
        script = self.event_script()
        await _deliver_script(reader, "in-order", script)
        expected = await _tables(reader, "in-order", script)
        for number, phase in enumerate(script.phases):
            for place, late in enumerate(phase):
                if type(late.body) in script.unsettled or place == len(phase) - 1:
                    continue
                tenant = f"late-{number}-{place}"
                moved = [*phase[:place], *phase[place + 1 :], late]
                phases = [*script.phases[:number], moved, *script.phases[number + 1 :]]
                await _deliver_script(reader, tenant, script, phases)
                _assert_same_tables(await _tables(reader, tenant, script), expected, late)


def directory_script(*people: PersonChanged) -> list[ScriptedEvent]:
    """Events of every type of the directory, with later states and erasures. The last states of `people` are those passed."""
    when = instant("2026-03-02T08:00Z")
    ended = SessionEnded(iss="test", sid="s-1", ended_at=when, until=when)
    erased, changed = person("gone", team="team-a", version=4), {"display_name": "Another"}
    return [
        ScriptedEvent(TenantChanged(slug="", name="The tenant", version=1)),
        ScriptedEvent(TenantChanged(slug="", name="The tenant, renamed", time_zone="Europe/Berlin", version=2)),
        ScriptedEvent(org_unit("team-a", version=1)),
        ScriptedEvent(org_unit("team-a", parent="site", version=2)),
        ScriptedEvent(org_unit("site", version=1)),
        *(ScriptedEvent(each.model_copy(update={"version": 1, "active": False, "memberships": []})) for each in people),
        *(ScriptedEvent(each.model_copy(update={"version": 2})) for each in people),
        ScriptedEvent(erased),
        ScriptedEvent(erased.model_copy(update={**changed, "version": 5})),
        ScriptedEvent(erased.model_copy(update={"version": 5}), erased=True),
        ScriptedEvent(ended),
        ScriptedEvent(ended, erased=True),
    ]


def sections_script(*services: str) -> list[ScriptedEvent]:
    """Two applied sections of each of these services, an older and a newer one."""
    parts = {
        "kpi-engine": "kpis",
        "training": "templates",
        "gamification": "rules",
        "forms": "forms",
        "ingest": "sources",
        "notification": "rules",
    }
    return [
        ScriptedEvent(
            SectionApplied(service=name, version=None, content={parts[name]: [{NAME_FIELD[parts[name]]: each}]})
        )
        for name in services
        for each in ("older", "newer")
    ]


def _topic(event: ScriptedEvent) -> str:
    return event.topic or event.body.target_topic()


def _kinds(topic: str, subscription: Subscription) -> set[str]:
    """The event types that a subscription handles. The copy of the directory handles every type of its topic."""
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


def _messages(reader: Harness, tenant: str, script: EventScript) -> dict[int, Message]:
    """The message of each event of the script, by `id()` of the event. Its event id is the same whenever it is delivered;
    event ids rise in the order of the script."""
    messages: dict[int, Message] = {}
    for number, each in enumerate(each for phase in script.phases for each in phase):
        body = each.body
        if isinstance(body, TenantChanged):
            body = body.model_copy(update={"slug": tenant})
        message = reader.message(body, tenant=tenant, at=each.at, topic=each.topic, event_id=UUID(int=1 + number))
        if each.erased:
            version = getattr(each.body, "state_version")()  # noqa: B009
            message = replace(message, value=None, headers={**message.headers, "ce_version": str(version)})
        messages[id(each)] = message
    return messages


async def _deliver_script(
    reader: Harness, tenant: str, script: EventScript, phases: Sequence[Sequence[ScriptedEvent]] | None = None
) -> None:
    messages = _messages(reader, tenant, script)
    await _deliver_singly(reader, [messages[id(each)] for phase in phases or script.phases for each in phase])


async def _deliver_singly(reader: Harness, messages: Sequence[Message]) -> None:
    """Delivers each message in a batch of its own, as dead letters are replayed."""
    for message in messages:
        received = parse_message(message)
        async with reader.context.sessions.begin([received.tenant], now=received.attributes.time) as session:
            await reader.running.doors[message.topic].handle(session, [received])


def _shuffled(events: Sequence[ScriptedEvent], seed: int) -> list[ScriptedEvent]:
    shuffled = list(events)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def _shuffle_across_keys(phase: Sequence[ScriptedEvent], seed: int) -> list[ScriptedEvent]:
    """The events in another order, in which those of one key keep theirs."""
    lanes: dict[tuple[str, str], list[ScriptedEvent]] = {}
    for each in phase:
        lanes.setdefault((_topic(each), each.body.key("t")), []).append(each)
    turns = [lane for lane, of_lane in lanes.items() for _ in of_lane]
    random.Random(seed).shuffle(turns)
    waiting = {lane: iter(of_lane) for lane, of_lane in lanes.items()}
    return [next(waiting[lane]) for lane in turns]


async def _tables(reader: Harness, tenant: str, script: EventScript) -> dict[str, Counter[str]]:
    """The tenant's rows in each of the service's tables, without technical columns. Ids that are not in the script are
    replaced, because each delivery makes others."""
    known = {str(found) for phase in script.phases for each in phase for found in _uuids(each.body.model_dump())}
    async with reader.context.sessions.engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
                "JOIN information_schema.tables USING (table_schema, table_name) "
                "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' GROUP BY table_name HAVING 'tenant' = ANY(array_agg(column_name::text))"
            )
        )
        columns: dict[str, list[str]] = {row[0]: row[1] for row in found}
    tables: dict[str, Counter[str]] = {}
    for table in sorted(set(columns) - _TECHNICAL_TABLES - set(script.excluded_tables)):
        left_out = _TECHNICAL_COLUMNS | set(script.ignored.get(table, ()))
        compared = sorted(name for name in columns[table] if name not in left_out)
        quoted = ", ".join(f'"{name}"' for name in compared) or "1 AS one"
        rows = await reader.rows(tenant, f'SELECT {quoted} FROM "{table}"')
        tables[table] = Counter(
            repr([(name, _normalize_value(row[name], known, tenant)) for name in compared]) for row in rows
        )
    return tables


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
