"""A batch creates the same notices and deliveries as its messages one by one, in the same order."""

import asyncio
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from contracts import derived_id, new_id
from contracts.assignments import AssignmentAssigned, AssignmentOverdue, AssignmentWithdrawn
from contracts.scores import BandEntered, BandLeft
from hypothesis import example, given, settings
from hypothesis import strategies as st
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from notification.service import service, wire
from notification.settings import NotificationSettings
from pydantic import ValidationError
from sqlalchemy import event as engine_event
from testkit import org_unit, person, person_id, tenant
from testkit.harness import harness

NOW = datetime(2026, 3, 4, 14, tzinfo=UTC)
TENANTS = {"acme": "UTC", "zeta": "Asia/Tokyo"}
WHO = ["ada", "wei", "nobody", "lea"]
RULES = [
    {"rule": "agent-notice", "on": "assignment.assigned", "to": "agent", "channels": ["in_app", "email"]},
    {"rule": "mailed", "on": "assignment.overdue", "to": "agent", "channels": ["email"]},
    {"rule": "lead-notice", "on": "assignment.assigned", "to": "leads", "text": "own"},
    {"rule": "trainers", "on": "assignment.overdue", "to": "role:trainer"},
    {"rule": "worst", "on": "band.entered", "to": "leads", "when": {"band": ["coach", "urgent"]}},
    {"rule": "all", "on": "band.entered", "to": "role:team_lead", "channels": ["in_app", "email"]},
]
TEXTS = {"own": {"zh": {"subject": "{{ title }}", "body": "{{ person.name }}: {{ agent.name }} {{ due_at }}"}}}
PEOPLE = [
    person("ada", team="a", roles=[("agent", "a")], email="ada@example.org"),
    person("wei", team="b", roles=[("agent", "b")], language="zh-CN"),
    person("lea", team="a", roles=[("team_lead", "a")], email="lea@example.org", language="en"),
    person("noa", team="a", roles=[("team_lead", "site")], since=date(2026, 3, 5)),
    person("tom", roles=[("trainer", "b")]),
    person("tea", roles=["trainer", "team_lead"], email="tea@example.org"),
    person("gone", roles=[("team_lead", "a")], active=False),
    person("adam", roles=["tenant_admin"]),
]
UNITS = [org_unit("site"), org_unit("a", parent="site"), org_unit("b", parent="site")]

lines = st.tuples(
    st.sampled_from([AssignmentAssigned, AssignmentOverdue, AssignmentWithdrawn, BandEntered, BandEntered, BandLeft]),
    st.sampled_from(sorted(TENANTS)),
    st.sampled_from(WHO),
    st.sampled_from(["coach", "watch"]),
    st.sampled_from(["live", "live", "live", "history"]),
    st.integers(0, 30),  # hours: another day in one of the tenants
    st.integers(0, 9),  # equal lines are the same event, delivered again
)

EVERY_RULE = [
    (kind, "zeta", "ada", "coach", "live", 30, 0) for kind in (AssignmentAssigned, AssignmentOverdue, BandEntered)
]


class StoryRun:
    """Delivers a story, a list of `lines`, as events with ids of their own."""

    def __init__(self, h):
        self.h = h
        self.seed = new_id()
        self.names: dict[UUID, str] = {}

    def message(self, line):
        kind, slug, who, band, mode, hours, again = line
        event_id = derived_id(self.seed, *line)
        self.names[event_id] = f"{kind.type} {who} {band} {again}"
        body = kind.model_validate(kind.example | {"agent_id": person_id(who), "band": band, "mode": mode})
        return self.h.message(body, tenant=slug, at=NOW + timedelta(hours=hours), event_id=event_id)

    async def deliver_story(self, story, *, size):
        by_topic: dict[str, list] = {}
        for slug in TENANTS:  # so that no event of a story is outdated by the run before
            await self.h.rows(slug, "DELETE FROM heard RETURNING subject")
        for line in story:
            by_topic.setdefault(line[0].topic, []).append(self.message(line))
        for messages in by_topic.values():
            for _ in range(2):
                for first in range(0, len(messages), size):
                    await apply(self.h, messages[first : first + size])
        return await self.found()

    async def found(self):
        """The stored notices and deliveries by tenant, with names in place of ids."""
        seen = []
        for slug in TENANTS:
            ids = {"ids": list(self.names)}
            notices = await self.h.rows(slug, "SELECT * FROM notice WHERE event_id = ANY(:ids) ORDER BY seq", **ids)
            places = {row.pop("id"): place for place, row in enumerate(notices)}
            seen += [row | {"seq": None} for row in notices]
            deliveries = await self.h.rows(
                slug,
                "SELECT d.*, i.at AS due_at FROM delivery d LEFT JOIN due_item i ON i.tenant = d.tenant "
                "AND i.kind = 'deliver' AND i.ref = d.id::text WHERE d.event_id = ANY(:ids) ORDER BY d.id",
                **ids,
            )
            seen += [row | {"id": None, "notice_id": places.get(row["notice_id"])} for row in deliveries]
        return [row | {"event_id": self.names[row["event_id"]]} for row in seen]


async def apply(h, messages):
    topic = messages[0].topic
    door, partition = h.running.doors[topic], TopicPartition(topic, 0)
    expected = await door.load_next_offset("test", partition)
    await door.apply(messages, [OffsetStep("test", partition, expected, expected + len(messages))])


async def prepare(h):
    for slug, time_zone in TENANTS.items():
        await h.apply_directory(slug, of_tenant=tenant(slug, time_zone=time_zone), org_units=UNITS, people=PEOPLE)
        admin = h.client_as("adam", slug)
        assert (await admin.put("/texts", json={"texts": TEXTS})).status_code == 200
        assert (await admin.put("/rules", json={"rules": RULES})).status_code == 200
    hook = {"url": "http://127.0.0.1:1/", "events": ["band.left", "assignment.overdue"]}
    for name, fields in (("crm", {}), ("all", {"events": ["*"]}), ("off", {"events": ["*"], "enabled": False})):
        assert (await h.client_as("adam", "zeta").put(f"/webhooks/{name}", json=hook | fields)).status_code == 200


def with_mail(kit):
    return wire(kit, NotificationSettings(webhook_allow_loopback=True, smtp_host="127.0.0.1"))


MAILING = replace(service, wire=with_mail)


def test_a_batch_creates_the_same_notices_as_its_messages_one_by_one(cluster, issuer):
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        h = runner.run(stack.enter_async_context(harness(MAILING, cluster, issuer)))
        matched = set()
        try:
            runner.run(prepare(h))

            @settings(max_examples=8, deadline=None, database=None)
            @given(st.lists(lines, min_size=6, max_size=20))
            @example(EVERY_RULE)
            def check(story):
                singly = runner.run(StoryRun(h).deliver_story(story, size=1))
                assert runner.run(StoryRun(h).deliver_story(story, size=100)) == singly
                matched.update(each.get("rule") or each["webhook"] for each in singly)

            check()
        finally:
            runner.run(stack.aclose())
    assert matched >= {rule["rule"] for rule in RULES} | {"all", "crm"}


async def test_the_number_of_statements_does_not_grow_with_the_batch(harness_for):
    h = await harness_for(MAILING)
    await prepare(h)
    for topic, door in h.running.doors.items():
        await door.load_next_offset(
            "test", TopicPartition(topic, 0)
        )  # the offset row is created here, outside of the batch
    counts = []
    for size in (5, 50):
        run = StoryRun(h)
        whole = [
            run.message((AssignmentOverdue, "zeta", WHO[number % 2], "coach", "live", number % 30, number))
            for number in range(size)
        ]
        with counted(h) as statements:
            await apply(h, whole)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 18


async def test_events_without_a_matching_rule_need_no_further_statements(harness_for):
    h = await harness_for(MAILING)
    await prepare(h)
    run = StoryRun(h)
    with counted(h) as statements:
        await apply(h, [run.message((BandLeft, "acme", "ada", "coach", "live", 0, n)) for n in range(20)])
    assert not [each for each in statements if "INSERT INTO notice" in each or "directory_person" in each]
    assert len(statements) <= 8


@contextmanager
def counted(h):
    """Collects the statements that are executed inside the block."""
    engine, statements = h.context.sessions.engine.sync_engine, []

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    engine_event.listen(engine, "before_cursor_execute", note)
    yield statements
    engine_event.remove(engine, "before_cursor_execute", note)


async def test_a_batch_with_an_invalid_message_creates_nothing(harness_for):
    h = await harness_for(MAILING)
    await prepare(h)
    run = StoryRun(h)
    good = run.message((AssignmentAssigned, "acme", "ada", "coach", "live", 0, 0))
    bad = replace(run.message((AssignmentWithdrawn, "acme", "ada", "coach", "live", 0, 1)), value=b"{}")
    with pytest.raises(ValidationError):
        await apply(h, [good, bad])
    assert await h.rows("acme", "SELECT 1 FROM notice") == []
    await apply(h, [good])
    assert await h.rows("acme", "SELECT 1 FROM notice") != []
