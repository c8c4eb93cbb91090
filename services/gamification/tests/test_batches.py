"""A batch leaves behind what its messages one by one leave behind, entry for entry and event for event."""

import asyncio
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from contracts import derived_id, new_id
from contracts.assignments import AssignmentAssigned, AssignmentCompleted
from contracts.awards import PointsGranted, PointsReversed
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, Score, ScoreChanged
from gamification.service import service
from hypothesis import example, given, settings
from hypothesis import strategies as st
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from pydantic import ValidationError
from sqlalchemy import event as engine_event
from testkit import tenant
from testkit.harness import harness

TENANTS = {"acme": "UTC", "zeta": "Asia/Tokyo"}
DAYS = [date(2026, 3, 9) + timedelta(days=n) for n in range(5)]
LATE = datetime(2026, 3, 20, 8, tzinfo=UTC)
RULES = [
    {"kind": "band_left", "rule": "left", "title": {"en": "L"}, "kpi": "aht", "from_bands": ["coach"], "points": 100},
    {"kind": "band_left", "rule": "any-left", "title": {"en": "A"}, "kpi": "aht", "from_bands": ["coach", "watch"],
     "to_better": False, "points": 7},
    {"kind": "training_completed", "rule": "trained", "title": {"en": "T"}, "points": 20},
    {"kind": "improvement", "rule": "better", "title": {"en": "B"}, "kpi": "aht", "points": 10, "min_improvement": 5,
     "step": 10, "baseline_days": 1, "min_sample": 5, "week_cap": 60},
]  # fmt: skip

who = st.tuples(st.sampled_from(sorted(TENANTS)), st.integers(0, 1))
scores = st.tuples(
    st.just("score"), who, st.sampled_from(DAYS), st.sampled_from([20, 40, 60]), st.sampled_from(["live", "live", "history"]),
    st.booleans(),  # whether the day is over
)  # fmt: skip
bands = st.tuples(
    st.sampled_from(["left", "left", "corrected", "entered"]), who, st.integers(0, 2), st.sampled_from(["coach", "watch"]),
    st.sampled_from(["live", "live", "live", "history"]), st.integers(0, 3),
)  # fmt: skip
trainings = st.tuples(st.sampled_from(["completed", "assigned"]), who, st.integers(0, 2), st.booleans())
stories = st.tuples(*(st.lists(each, min_size=4, max_size=12) for each in (scores, bands, trainings)))

ADA = ("acme", 0)
EVERY_RULE = (
    [("score", ADA, day, numerator, "live", True) for day, numerator in ((DAYS[0], 60), (DAYS[1], 20), (DAYS[1], 60))],
    [("left", ADA, 0, "coach", "live", 0), ("corrected", ADA, 0, "coach", "live", 0)],
    [("completed", ADA, 0, True)],
)


class Play:
    """One telling of a story to agents of its own. `names`: what the ids of this telling stand for."""

    def __init__(self, h):
        self.h = h
        self.seed = new_id()
        self.names: dict[str, str] = {}

    def id(self, *name) -> UUID:
        made = derived_id(self.seed, *name)
        self.names[str(made)] = " ".join(map(str, name))
        return made

    def message(self, number, line):
        kind, (slug, agent), *rest = line
        common: dict[str, Any] = {"agent_id": self.id("agent", slug, agent)}
        at, event_id = LATE + timedelta(seconds=number), self.id(kind, number)
        if kind == "score":
            workday, numerator, mode, over = rest
            score = {"value": f"{numerator}", "numerator": f"{numerator}00", "denominator": "100", "sample": 9}
            kpis = {"aht": Score(**score, model_version=1), "hold": Score(**score, model_version=1)}
            body = ScoreChanged(**common, workday=workday, mode=mode, scores=kpis)
            at = at if over else datetime.combine(workday, time(2), tzinfo=UTC) + timedelta(seconds=number)
        elif kind in ("completed", "assigned"):
            assignment, passed = rest
            common |= {"assignment_id": self.id("assignment", assignment), "template": "t", "template_version": 1}
            common |= {"title": {"en": "T"}}
            body = AssignmentCompleted(**common, passed=passed) if kind == "completed" else AssignmentAssigned(**common)
        else:
            stay, band, mode, again = rest
            common |= {
                "band_event_id": self.id("stay", stay),
                "kpi": "aht",
                "model_version": 1,
                "band": band,
                "rank": 2,
            }
            kinds = {"left": BandLeft, "corrected": BandCorrected, "entered": BandEntered}
            body = kinds[kind](**common, at_window="w", mode=mode, to_rank=1, retracts="left")
            event_id = self.id(kind, again)  # some come again as the very same event
        return self.h.message(body, tenant=slug, at=at, event_id=event_id)

    async def deliver_story(self, story, *, size):
        """Topic by topic and twice, as a relay that died would; in batches of `size`."""
        for lines in story:
            messages = [self.message(number, line) for number, line in enumerate(lines)]
            for _ in range(2):
                for first in range(0, len(messages), size):
                    await apply(self.h, messages[first : first + size])
        await self.h.tick(LATE + timedelta(days=1))
        return await self.found()

    async def found(self):
        """The stored rows and published events, with names for ids, tenant by tenant."""
        agents = [UUID(each) for each, name in self.names.items() if name.startswith("agent")]
        seen = []
        for slug in TENANTS:
            entries = await self.h.rows(slug, "SELECT * FROM ledger WHERE agent_id = ANY(:a) ORDER BY id", a=agents)
            # The clock judges several agents' days at the same time: their entries have no order among them.
            places = {
                entry.pop("id"): self.named(f"{entry['agent_id']} {entry['rule']} {entry['cause']} {entry['occasion']}")
                for entry in entries
            }
            entries = [entry | {"reverses": places.get(entry["reverses"])} for entry in entries]
            seen += sorted(entries, key=lambda entry: repr(self.named(entry)))
            days = "SELECT * FROM score_day WHERE agent_id = ANY(:a) ORDER BY agent_id = :first, kpi, workday"
            seen += await self.h.rows(slug, days, a=agents, first=self.id("agent", slug, 0))
            query = "SELECT kind, ref, at, body, turn FROM due_item WHERE tenant = :slug AND split_part(ref, ' ', 1) = ANY(:a)"
            due = await self.h.rows(slug, query, slug=slug, a=[str(each) for each in agents])
            seen += sorted(due, key=lambda row: self.named(row["ref"]))
            awards = []
            for attributes, body in await self.h.read_outbox():
                if attributes.tenant == slug and isinstance(body, PointsGranted | PointsReversed):
                    fields = body.model_dump() | {"entry_id": places[body.entry_id]}
                    fields["reverses"] = places.get(fields.get("reverses"))
                    awards.append(fields | {"at": attributes.time, "because": str(attributes.causationid)})
            seen += sorted(awards, key=lambda award: repr(self.named(award)))
        await self.h.clear_outbox()
        return [self.named(each) for each in seen]

    def named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.named(each) for name, each in value.items()}
        if isinstance(value, UUID | str):
            return " ".join(self.names.get(word, word) for word in str(value).replace("|", " ").split())
        return value


async def apply(h, messages):
    topic = messages[0].topic
    door, partition = h.running.doors[topic], TopicPartition(topic, 0)
    expected = await door.load_next_offset("test", partition)
    await door.apply(messages, [OffsetStep("test", partition, expected, expected + len(messages))])


async def prepare(h):
    for slug, time_zone in TENANTS.items():
        await h.apply_directory(slug, of_tenant=tenant(slug, time_zone=time_zone))
        await h.deliver(BlueprintPublished(version=1, sections={"gamification": {"rules": RULES}}), tenant=slug)
    await h.clear_outbox()


def test_a_batch_leaves_behind_what_its_messages_one_by_one_do(cluster, issuer):
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        h = runner.run(stack.enter_async_context(harness(service, cluster, issuer)))
        booked = set()
        try:
            runner.run(prepare(h))

            @settings(max_examples=6, deadline=None, database=None)
            @given(stories)
            @example(EVERY_RULE)
            def check(story):
                singly = runner.run(Play(h).deliver_story(story, size=1))
                assert runner.run(Play(h).deliver_story(story, size=100)) == singly
                booked.update((each["rule"], each["points"] > 0) for each in singly if "occasion" in each)

            check()
        finally:
            runner.run(stack.aclose())
    assert {(rule["rule"], True) for rule in RULES} <= booked
    assert {rule for rule, granted in booked if not granted}


async def test_the_number_of_statements_does_not_grow_with_the_batch(harness_for):
    h = await harness_for(service)
    await prepare(h)
    for topic, door in h.running.doors.items():
        await door.load_next_offset("test", TopicPartition(topic, 0))  # what makes the place is no part of a batch
    counts = []
    for size in (5, 50):
        lines = [
            *(("left", ("acme", agent), agent, "coach", "live", agent) for agent in range(size)),
            *(("corrected", ("acme", agent), agent, "coach", "live", agent) for agent in range(size)),
        ]
        days = [("score", ("acme", agent), DAYS[0], 20, "live", agent % 2 == 0) for agent in range(size)]
        play = Play(h)
        for number, batch in enumerate((lines, days)):
            messages = [play.message(place, line) for place, line in enumerate(batch)]
            with counted(h) as statements:
                await apply(h, messages)
            counts.append((number, len(statements)))
    assert counts[:2] == counts[2:]
    assert max(count for _, count in counts) <= 16


@contextmanager
def counted(h):
    """The statements that are sent inside."""
    engine, statements = h.context.sessions.engine.sync_engine, []

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    engine_event.listen(engine, "before_cursor_execute", note)
    yield statements
    engine_event.remove(engine, "before_cursor_execute", note)


async def test_a_batch_with_a_message_that_is_not_what_it_says_leaves_nothing(harness_for):
    h = await harness_for(service)
    await prepare(h)
    play = Play(h)
    good = play.message(0, ("left", ("acme", 0), 0, "coach", "live", 0))
    bad = replace(play.message(1, ("left", ("acme", 1), 1, "coach", "live", 1)), value=b'{"agent_id": 1}')
    with pytest.raises(ValidationError):
        await apply(h, [good, bad])
    assert await h.rows("acme", "SELECT 1 FROM ledger") == []
    await apply(h, [good])
    assert len(await h.rows("acme", "SELECT 1 FROM ledger")) == 2
