"""The loop against a real broker, and effects that fail as they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from contracts import Topic, new_id
from messaging.broker import Broker, Message, Outgoing, TopicPartition
from messaging.consumer import ConsumerStatus, FailureLimits, Fenced, OffsetStep, consume
from messaging.kafka import KafkaBroker
from messaging.log_table import LogTableBroker
from messaging.retry import is_transient
from testkit import wait_until_true
from testkit.broker_conformance import make_messages

GROUP = "readers"


class Unavailable(Exception):
    transient = True


class Ledger:
    """Effects kept in memory, with the promises of a transaction: all of a call or nothing."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.done: list[tuple[int, int]] = []
        self.buried: list[tuple[Message, Exception]] = []
        self.fail: Callable[[Sequence[Message]], None] = lambda _: None
        self.calls = 0

    async def load_next_offset(self, group: str, partition: TopicPartition) -> int:
        return self.offsets.get(partition, 0)

    async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
        self.calls += 1
        self.fail(messages)
        self._move(*steps)
        self.done += [(message.partition, int(message.value or b"")) for message in messages]

    async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
        self._move(step)
        self.buried.append((message, error))

    def _move(self, *steps: OffsetStep) -> None:
        assert {step.group for step in steps} == {GROUP}
        if any(self.offsets.get(step.partition, 0) != step.expected for step in steps):
            raise Fenced
        self.offsets |= {step.partition: step.next for step in steps}

    def values(self, partition: int = 0) -> list[int]:
        return [value for place, value in self.done if place == partition]


@pytest.fixture(params=["log table", "Kafka"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "Kafka":
        async with KafkaBroker(request.getfixturevalue("kafka")) as broker:
            yield broker
    else:
        async with LogTableBroker(request.getfixturevalue("postgres").dsn) as broker:
            yield broker


@pytest.fixture
async def topic(broker: Broker) -> str:
    name = f"test.{new_id()}"
    await broker.declare([Topic(name, "test", (), partitions=2)])
    return name


@asynccontextmanager
async def consuming(broker: Broker, topic: str, ledger: Ledger, **options: Any) -> AsyncIterator[ConsumerStatus]:
    status, stopping = ConsumerStatus(), asyncio.Event()
    task = asyncio.create_task(
        consume(broker, GROUP, topic, ledger, stopping=stopping, status=status, **options), name="consumer"
    )
    try:
        yield status
    finally:
        stopping.set()
        await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    await wait_until_true(condition, seconds=seconds, every=0.01)


async def test_everything_once_and_in_order_over_restarts(broker: Broker, topic: str) -> None:
    ledger = Ledger()
    await broker.publish(make_messages(topic, 30) + make_messages(topic, 5, partition=1))
    async with consuming(broker, topic, ledger, max_messages=7) as status:
        await until(lambda: len(ledger.done) == 35)
        assert status.state == "running"
    assert (status.state, status.handled, status.assigned) == ("stopped", 35, frozenset())
    await broker.publish(make_messages(topic, 5, first=30))
    async with consuming(broker, topic, ledger):
        await until(lambda: len(ledger.done) == 40)
    assert ledger.values(0) == list(range(35))
    assert ledger.values(1) == list(range(5))
    assert await broker.lag(GROUP) | {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0} == await broker.lag(
        GROUP
    )


@pytest.mark.parametrize("error", [Unavailable("later"), psycopg.OperationalError("gone")])
async def test_what_may_pass_is_tried_again_and_holds_up_no_other_partition(
    broker: Broker, topic: str, error: Exception
) -> None:
    ledger = Ledger()
    ill = True

    def fail(messages: Sequence[Message]) -> None:
        if ill and messages[0].partition == 0:
            raise error

    ledger.fail = fail
    await broker.publish(make_messages(topic, 10))
    async with consuming(broker, topic, ledger) as status:
        await until(lambda: ledger.calls >= 2)
        assert status.last_transient_error
        assert type(error).__name__ in status.last_transient_error
        await broker.publish(make_messages(topic, 10, partition=1))
        await until(lambda: len(ledger.values(1)) == 10)
        assert status.lag_seconds(max(status.oldest_unhandled_at.values()) + timedelta(seconds=60)) >= 60
        ill = False
        await until(lambda: len(ledger.values(0)) == 10)
        await until(lambda: status.last_transient_error is None and not status.oldest_unhandled_at)
    assert (ledger.values(0), ledger.buried, status.error) == (list(range(10)), [], None)


async def test_partitions_share_a_transaction_and_none_suffers_from_anothers_fault(broker: Broker, topic: str) -> None:
    ledger = Ledger()
    together: list[set[int]] = []

    def fail(messages: Sequence[Message]) -> None:
        together.append({message.partition for message in messages})
        if any(message.value == b"3" and message.partition == 0 for message in messages):
            raise ValueError("poison")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 6) + make_messages(topic, 6, partition=1))
    async with consuming(broker, topic, ledger):
        await until(lambda: len(ledger.done) == 11)
        assert [message.value for message, _ in ledger.buried] == [b"3"]
        await broker.publish(make_messages(topic, 2, first=6) + make_messages(topic, 2, partition=1, first=6))
        await until(lambda: len(ledger.done) == 15)
        ledger.offsets[TopicPartition(topic, 0)] = 5  # as if another member had gone back
        ledger.done.clear()
        await broker.publish(make_messages(topic, 2, first=8) + make_messages(topic, 2, partition=1, first=8))
        await until(lambda: ledger.values(0)[-1:] == [9] and ledger.values(1) == [8, 9])
    assert ledger.values(0) == [5, 6, 7, 8, 9]
    assert {0, 1} in together


async def test_a_partition_that_has_to_wait_holds_up_the_others_for_one_round_at_most(
    broker: Broker, topic: str
) -> None:
    ledger = Ledger()
    refused = 0

    def fail(messages: Sequence[Message]) -> None:
        nonlocal refused
        partitions = {message.partition for message in messages}
        if 0 in partitions:
            refused += 1 in partitions
            raise Unavailable("one tenant's directory is behind")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 5) + make_messages(topic, 5, partition=1))
    async with consuming(broker, topic, ledger):
        for first in range(5, 50, 5):
            await until(lambda: len(ledger.values(1)) == first)  # noqa: B023
            await broker.publish(make_messages(topic, 5, first=first, partition=1))
        await until(lambda: ledger.values(1) == list(range(50)))
    assert ledger.values(0) == []
    assert refused <= 1


async def test_a_commit_of_unknown_outcome_takes_effect_once(broker: Broker, topic: str) -> None:
    class Breaking(Ledger):
        broke = False

        async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
            await super().apply(messages, steps)
            if not self.broke:
                self.broke = True
                raise ConnectionError("after the commit")

    ledger = Breaking()
    await broker.publish(make_messages(topic, 20))
    async with consuming(broker, topic, ledger, max_messages=5):
        await until(lambda: len(ledger.done) >= 20)
    assert ledger.values() == list(range(20))


async def test_a_fenced_consumer_goes_on_where_the_other_one_stands(broker: Broker, topic: str) -> None:
    ledger = Ledger()
    await broker.publish(make_messages(topic, 10))

    def somebody_else(messages: Sequence[Message]) -> None:
        if messages[0].offset == 0:
            ledger.offsets[TopicPartition(topic, 0)] = 4

    ledger.fail = somebody_else
    async with consuming(broker, topic, ledger) as status:
        await until(lambda: len(ledger.done) == 6)
        assert status.last_transient_error is None
    assert ledger.values() == [4, 5, 6, 7, 8, 9]


async def test_a_consumer_that_is_connected_again_retries_nothing_though_no_message_comes(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise ConnectionError("the broker is away")

        patch.setattr(broker, "join", fail)
        async with consuming(broker, topic, Ledger()) as status:
            await until(lambda: status.last_transient_error == "ConnectionError: the broker is away")
            patch.undo()
            await until(lambda: status.last_transient_error is None)
    assert (status.handled, status.state) == (0, "stopped")


def test_limits_by_which_one_tenant_could_stop_the_consumer_are_refused() -> None:
    with pytest.raises(ValueError, match="not below min_failures, 20"):
        FailureLimits(remembered_per_tenant=20)


async def test_the_poison_message_is_buried_whole_and_the_rest_takes_effect(broker: Broker, topic: str) -> None:
    ledger = Ledger()

    def fail(messages: Sequence[Message]) -> None:
        if any(message.value in (b"3", b"9") for message in messages):
            raise KeyError("no such agent")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 10))
    async with consuming(broker, topic, ledger) as status:
        await until(lambda: status.handled + status.buried == 10)
    assert ledger.values() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [(message.offset, message.key, message.value, repr(error)) for message, error in ledger.buried] == [
        (3, "key", b"3", "KeyError('no such agent')"),
        (9, "key", b"9", "KeyError('no such agent')"),
    ]
    assert ledger.offsets[TopicPartition(topic, 0)] == 10
    assert (status.buried, status.state, status.error) == (2, "stopped", None)


async def test_it_stops_rather_than_bury_a_whole_topic(broker: Broker, topic: str) -> None:
    ledger = Ledger()

    def fail(messages: Sequence[Message]) -> None:
        if any(int(message.value or b"") >= 15 for message in messages):
            raise ValueError("new format")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 100))
    async with consuming(broker, topic, ledger, limits=FailureLimits()) as status:
        await until(lambda: status.state == "failed")
        # 15 well, 19 ill: one more would be 20 of 35.
        assert (len(ledger.done), len(ledger.buried)) == (15, 19)
        assert ledger.offsets[TopicPartition(topic, 0)] == 34
        assert status.error
        assert "20 of the last 35" in status.error
        assert "new format" in status.error
    assert status.state == "failed"


async def test_a_failure_to_bury_loses_nothing(broker: Broker, topic: str) -> None:
    class Clumsy(Ledger):
        drops = 2

        async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
            if self.drops:
                self.drops -= 1
                raise RuntimeError("no room")
            await super().bury(message, error, step)

    ledger = Clumsy()

    def fail(messages: Sequence[Message]) -> None:
        if any(message.value == b"1" for message in messages):
            raise ValueError

    ledger.fail = fail
    await broker.publish(make_messages(topic, 3))
    async with consuming(broker, topic, ledger):
        await until(lambda: len(ledger.done) == 2 and len(ledger.buried) == 1)
    assert ledger.values() == [0, 2]


async def test_delivering_twice_shows_an_effect_without_a_key(broker: Broker, topic: str) -> None:
    ledger = Ledger()
    await broker.publish(make_messages(topic, 4))
    async with consuming(broker, topic, ledger, max_messages=2, deliver_twice=True):
        await until(lambda: len(ledger.done) == 8)
    assert ledger.values() == [0, 1, 0, 1, 2, 3, 2, 3]
    assert ledger.offsets[TopicPartition(topic, 0)] == 4


async def test_delivering_twice_fails_on_an_effect_that_refuses_its_repetition(broker: Broker, topic: str) -> None:
    ledger = Ledger()

    def fail(messages: Sequence[Message]) -> None:
        if int(messages[0].value or b"") in ledger.values():
            raise ValueError("already there")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 1))
    async with consuming(broker, topic, ledger, deliver_twice=True) as status:
        await until(lambda: status.state == "failed")
        assert "already there" in (status.error or "")
    assert ledger.buried == []


async def test_what_was_handled_but_not_told_is_no_lag_after_a_restart(broker: Broker, topic: str) -> None:
    """As after a kill between the effect and the commit at the broker."""
    ledger = Ledger()
    await broker.publish(make_messages(topic, 10))
    ledger.offsets[TopicPartition(topic, 0)] = 10
    async with consuming(broker, topic, ledger):

        async def has_caught_up() -> bool:
            return (await broker.lag(GROUP)).get(TopicPartition(topic, 0)) == 0

        await wait_until_true(has_caught_up, seconds=15, every=0.1)
    assert ledger.done == []


async def test_stopping_finishes_the_batch_at_hand(broker: Broker, topic: str) -> None:
    class Slow(Ledger):
        began = False

        async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
            self.began = True
            await asyncio.sleep(0.3)  # sleep: a slow handler
            await super().apply(messages, steps)

    ledger = Slow()
    await broker.publish(make_messages(topic, 5) + make_messages(topic, 5, partition=1))
    async with consuming(broker, topic, ledger, max_messages=5):
        await until(lambda: ledger.began)
    assert len(ledger.done) == 5


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (Unavailable(), True),
        (ConnectionRefusedError(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.UniqueViolation(), False),
        (ValueError(), False),
        (type("Wrapped", (Exception,), {"orig": psycopg.OperationalError()})(), True),
        (type("Wrapped", (Exception,), {"orig": psycopg.errors.CheckViolation()})(), False),
        (type("Settled", (OSError,), {"transient": False})(), False),
    ],
)
def test_what_may_pass(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


# What ends the process


class Counts:
    """Attempts that outlive the process, as the database keeps them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._of: dict[TopicPartition, tuple[int, int]] = {}
        self.begun = 0
        self.suspect_lock = asyncio.Lock()

    async def count_attempts(self, partition: TopicPartition) -> int:
        at, count = self._of.get(partition, (-1, 0))
        return count if at == self._ledger.offsets.get(partition, 0) else 0

    async def begin_attempt(self, partition: TopicPartition) -> None:
        self.begun += 1
        self._of[partition] = (self._ledger.offsets.get(partition, 0), await self.count_attempts(partition) + 1)

    async def end_attempt(self, partition: TopicPartition) -> None:
        self._of.pop(partition, None)

    def reset(self) -> None:
        """Of what a process has in memory."""
        self.suspect_lock = asyncio.Lock()


class Gone(BaseException):
    """Stands for the end of the process: nothing that was under way ends."""


async def starts_until_it_lives(broker: Broker, topic: str, ledger: Ledger, counts: Counts, total: int) -> int:
    """Starts a reader until one has got through. Returns how many were killed."""
    for killed in range(10):
        counts.reset()
        stopping = asyncio.Event()
        task = asyncio.create_task(
            consume(broker, GROUP, topic, ledger, stopping=stopping, status=ConsumerStatus(), attempts=counts)
        )
        try:
            await until(lambda task=task: len(ledger.done) + len(ledger.buried) >= total or task.done())
            if not task.done():
                return killed
        finally:
            stopping.set()
            await asyncio.gather(task, return_exceptions=True)
    raise AssertionError("it is killed for ever")


@pytest.mark.parametrize("poison", [0, 3, 9])
async def test_what_ends_the_process_is_buried_after_some_starts(broker: Broker, topic: str, poison: int) -> None:
    ledger = Ledger()
    counts = Counts(ledger)

    def fail(messages: Sequence[Message]) -> None:
        if any(message.partition == 0 and int(message.value or b"") == poison for message in messages):
            raise Gone

    ledger.fail = fail
    await broker.publish(make_messages(topic, 10) + make_messages(topic, 10, partition=1))
    killed = await starts_until_it_lives(broker, topic, ledger, counts, 20)
    assert killed <= 6
    ((message, error),) = ledger.buried
    assert (message.partition, message.value) == (0, str(poison).encode())
    assert "was gone before it ended" in str(error)
    assert ledger.values(0) == [each for each in range(10) if each != poison]
    assert ledger.values(1) == list(range(10))


async def test_an_ordinary_failure_counts_for_nothing_and_the_steady_course_is_not_counted(
    broker: Broker, topic: str
) -> None:
    ledger = Ledger()
    counts = Counts(ledger)
    ill = 3

    def fail(messages: Sequence[Message]) -> None:
        nonlocal ill
        if ill:
            ill -= 1
            raise Unavailable("later")

    ledger.fail = fail
    await broker.publish(make_messages(topic, 3))
    async with consuming(broker, topic, ledger, attempts=counts):
        for more in range(1, 6):
            await until(lambda more=more: len(ledger.done) == 3 * more)
            await broker.publish(make_messages(topic, 3, first=3 * more))
    assert counts.begun == 1
    assert await counts.count_attempts(TopicPartition(topic, 0)) == 0
    assert ledger.buried == []


def of_tenants(topic: str, tenants: Sequence[str]) -> list[Outgoing]:
    numbers = make_messages(topic, len(tenants))
    return [replace(each, headers={"ce_tenant": tenant}) for each, tenant in zip(numbers, tenants, strict=True)]


def poison_of(tenants: Collection[str]) -> Callable[[Sequence[Message]], None]:
    def fail(messages: Sequence[Message]) -> None:
        if any(message.headers.get("ce_tenant") in tenants for message in messages):
            raise ValueError("of its making")

    return fail


@pytest.mark.parametrize("before", [[], ["other"], ["hasty"]], ids=["alone", "after another's", "with another's"])
async def test_one_tenants_poison_does_not_stop_what_others_are_read_by(
    broker: Broker, topic: str, before: list[str]
) -> None:
    """However much of it there is: it fills every window, from the very beginning."""
    ledger = Ledger()
    ledger.fail = poison_of({"hostile", "hasty"})
    of = [*before, *["hostile"] * 250, "other", "other"]
    await broker.publish(of_tenants(topic, of))
    async with consuming(broker, topic, ledger, limits=FailureLimits()) as status:
        await until(lambda: len(ledger.done) == of.count("other") or status.error is not None)
        assert (len(ledger.buried), status.error) == (len(of) - of.count("other"), None)


@pytest.mark.parametrize(
    "of", [["one"] * 15 + ["two"] * 15, [f"customer-{n}" for n in range(40)]], ids=["two tenants", "many tenants"]
)
async def test_it_stops_when_every_tenants_messages_fail(broker: Broker, topic: str, of: list[str]) -> None:
    ledger = Ledger()
    ledger.fail = poison_of(set(of))
    await broker.publish(of_tenants(topic, of))
    async with consuming(broker, topic, ledger, limits=FailureLimits()) as status:
        await until(lambda: status.state == "failed")
        assert "20 of the last 20" in (status.error or "")


async def test_two_tenants_poison_does_not_stop_it_while_others_are_well(broker: Broker, topic: str) -> None:
    ledger = Ledger()
    ledger.fail = poison_of({"one", "two"})
    of = [*["other", "another", "a-third"] * 10, *["one", "two"] * 100, "other"]
    await broker.publish(of_tenants(topic, of))
    async with consuming(broker, topic, ledger, limits=FailureLimits()) as status:
        await until(lambda: len(ledger.done) == 31 or status.error is not None)
        assert (len(ledger.buried), status.error) == (200, None)
