"""Everything that was committed is published, in order by key, by however many relays."""

import asyncio
import json
import random
import time
from datetime import UTC, datetime

import pytest
from contracts import derived_id
from contracts.assignments import AssignmentAssigned
from storage import Outbox, Sessions
from storage.outbox import SMALL_BACKLOG_RESERVE, SMALL_BACKLOG_ROWS, OutboxRow, measure_backlog

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def event(agent: str, number: int) -> AssignmentAssigned:
    return AssignmentAssigned.model_validate(
        {**AssignmentAssigned.example, "agent_id": derived_id(agent), "template_version": number}
    )


class Published:
    """Stands for a broker: keeps what it gets, slowly enough for others to get in the way."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []

    async def __call__(self, rows: list[OutboxRow]) -> None:
        for row in rows:
            await asyncio.sleep(random.random() * 0.0005)  # sleep: the order of sending changes
            self.rows.append(row)

    def numbers(self) -> dict[str, list[int]]:
        """By key, in the order of arrival."""
        found: dict[str, list[int]] = {}
        for row in self.rows:
            found.setdefault(row["key"], []).append(json.loads(row["value"] or b"{}")["template_version"])
        return found


async def count_up(sessions: Sessions, agent: str, times: int) -> None:
    """Takes the agent's row lock, as a use case does that changes one agent's state, and tells of the change."""
    for _ in range(times):
        async with sessions.begin(["acme"], now=NOW) as session:
            number = int(
                await session.scalar(
                    "UPDATE note SET text = cast(text AS int) + 1 WHERE tenant = 'acme' AND id = :id RETURNING text",
                    {"id": agent},
                )
            )
            session.emit(event(agent, number))
            await asyncio.sleep(random.random() * 0.002)  # sleep: transactions overlap


@pytest.fixture
async def agents(sessions: Sessions) -> list[str]:
    names = ["ada", "ben", "cem", "dua"]
    async with sessions.begin(["acme"], now=NOW) as session:
        for name in names:
            await session.execute("INSERT INTO note VALUES ('acme', :id, '0')", {"id": name})
    return names


async def drain(outbox: Outbox, publish: Published) -> None:
    while await outbox.publish_pending(publish):
        pass


async def test_the_outbox_follows_the_order_of_the_locks(sessions: Sessions, agents: list[str]) -> None:
    await asyncio.gather(*(count_up(sessions, agent, 10) for agent in agents[:2] for _ in range(3)))
    published = Published()
    await drain(Outbox(sessions), published)
    assert published.numbers() == {f"acme|{derived_id(agent)}": list(range(1, 31)) for agent in agents[:2]}
    assert await Outbox(sessions).count_waiting() == 0


async def test_several_relays_publish_each_row_once_and_in_order(sessions: Sessions, agents: list[str]) -> None:
    published = Published()
    writing = asyncio.gather(*(count_up(sessions, agent, 25) for agent in agents))
    relays = [Outbox(sessions, most=3) for _ in range(3)]

    async def relay(outbox: Outbox) -> int:
        count = 0
        while not writing.done() or await outbox.count_waiting():
            count += await outbox.publish_pending(published)
            await asyncio.sleep(0)
        return count

    counts = await asyncio.gather(*(relay(each) for each in relays))
    await writing
    assert sum(counts) == len(published.rows) == 100
    assert sum(count > 0 for count in counts) > 1, "they share the work"
    assert published.numbers() == {f"acme|{derived_id(agent)}": list(range(1, 26)) for agent in agents}


async def test_what_could_not_be_published_stays_for_the_next_time(sessions: Sessions, agents: list[str]) -> None:
    await count_up(sessions, "ada", 3)
    outbox = Outbox(sessions)

    async def fail(rows: list[OutboxRow]) -> None:
        raise ConnectionError("the broker is away")

    with pytest.raises(ConnectionError):
        await outbox.publish_pending(fail)
    assert await outbox.count_waiting() == 3
    published = Published()
    await drain(outbox, published)
    assert list(published.numbers().values()) == [[1, 2, 3]]


async def test_a_partition_that_is_being_published_is_passed_over(sessions: Sessions, agents: list[str]) -> None:
    for agent in agents:
        await count_up(sessions, agent, 1)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(rows: list[OutboxRow]) -> None:
        entered.set()
        await leave.wait()

    first = asyncio.create_task(Outbox(sessions).publish_pending(hold))
    await entered.wait()
    others = Published()
    count = await Outbox(sessions).publish_pending(others)
    assert count == len(others.rows) < 4
    leave.set()
    assert await first + count == 4
    assert await Outbox(sessions).count_waiting() == 0


async def test_a_pass_takes_a_bounded_bite_of_each_partition(sessions: Sessions, agents: list[str]) -> None:
    await count_up(sessions, "ada", 7)
    outbox = Outbox(sessions, most=3)
    published = Published()
    assert [await outbox.publish_pending(published) for _ in range(4)] == [3, 3, 1, 0]
    assert list(published.numbers().values()) == [[1, 2, 3, 4, 5, 6, 7]]


async def test_the_age_of_the_oldest_row_is_known(sessions: Sessions, agents: list[str]) -> None:
    outbox = Outbox(sessions)
    assert await outbox.oldest_written_at() is None
    before = datetime.now(UTC)
    await count_up(sessions, "ada", 2)
    oldest = await outbox.oldest_written_at()
    assert oldest is not None
    assert before <= oldest <= datetime.now(UTC)


async def emit(sessions: Sessions, tenant: str, count: int, *, agents: int = 7) -> None:
    async with sessions.begin([tenant], now=NOW) as session:
        for number in range(count):
            session.emit(event(f"agent-{number % agents}", number))


async def test_tenants_take_turns_however_many_rows_one_of_them_has(sessions: Sessions) -> None:
    await emit(sessions, "large", 300)
    for tenant in ("small", "tiny"):
        await emit(sessions, tenant, 4)
    published = Published()
    outbox = Outbox(sessions, most=30)
    assert await outbox.publish_pending(published) == 30
    tenants = [row["key"].partition("|")[0] for row in published.rows]
    assert tenants[:12] == ["large", "small", "tiny"] * 4
    await drain(outbox, published)
    for key, numbers in published.numbers().items():
        assert numbers == sorted(numbers), key
    assert len(published.rows) == 308


async def test_a_topic_gets_no_more_than_it_has_room_for_but_who_has_little_passes(sessions: Sessions) -> None:
    await emit(sessions, "large", 300)
    published = Published()
    outbox = Outbox(sessions)
    assert await outbox.publish_pending(published, {"assignments": 20}) == 20
    assert await outbox.publish_pending(published, {"assignments": 0}) == 0
    await emit(sessions, "small", SMALL_BACKLOG_ROWS)
    assert await outbox.publish_pending(published, {"assignments": 0}) == SMALL_BACKLOG_ROWS
    assert {row["key"].partition("|")[0] for row in published.rows[20:]} == {"small"}
    await emit(sessions, "small", SMALL_BACKLOG_ROWS)
    assert await outbox.publish_pending(published, {"assignments": -SMALL_BACKLOG_RESERVE}) == 0
    assert await outbox.publish_pending(published, {"awards": 0}) == 300 - 20 + SMALL_BACKLOG_ROWS


async def test_a_round_of_a_large_outbox_looks_at_few_of_its_rows(sessions: Sessions) -> None:
    for tenant in range(10):
        await emit(sessions, f"large-{tenant}", 3000)
    published: list[int] = []

    async def count(rows: list[OutboxRow]) -> None:
        published.append(len(rows))

    outbox = Outbox(sessions)
    await outbox.publish_pending(count, {"assignments": 100})
    began = time.perf_counter()
    for _ in range(5):
        await outbox.publish_pending(count, {"assignments": 100})
    assert published == [100] * 6
    assert time.perf_counter() - began < 5 * 0.1, "one that reads all 30,000 rows takes longer, whoever else is busy"


async def test_how_far_behind_each_tenant_is_can_be_told(sessions: Sessions) -> None:
    outbox = Outbox(sessions)
    assert await outbox.find_slowest_tenants(10) == {}
    await emit(sessions, "large", 300)
    await asyncio.sleep(0.05)  # sleep: the first tenant's events are older
    await emit(sessions, "small", 2)
    behind = await outbox.find_slowest_tenants(10)
    assert list(behind) == ["large", "small"]
    assert behind["large"] >= behind["small"] + 0.05 > 0
    assert list(await outbox.find_slowest_tenants(1)) == ["large"]
    for tenant, count in (("large", 300), ("small", 2), ("other", 0)):
        async with sessions.begin([tenant], now=NOW) as session:
            events, seconds = await measure_backlog(session)
            assert (events, seconds > 0) == (count, count > 0)
