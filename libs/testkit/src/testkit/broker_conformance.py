"""The tests that every implementation of `Broker` has to pass."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from contracts import Topic, new_id
from messaging.broker import Broker, GroupProgress, Message, Outgoing, Reader, TopicPartition

GROUP = "readers"
MEMBER = str(Path(__file__).with_name("broker_member.py"))  # by path: importing this package takes seconds


class BrokerConformance:
    """The suite. A test class inherits it and says how to reach its broker, by `member_factory` and the first four methods."""

    member_factory: str
    """`module:name` of a function that makes a broker from an address, for members in processes of their own."""
    member_options: dict[str, Any] = {}
    """Further arguments of that function."""

    def address(self) -> str:
        """The address of the broker under test."""
        raise NotImplementedError

    def connect(self) -> AbstractAsyncContextManager[Broker]:
        """One more broker instance on the same server."""
        raise NotImplementedError

    async def restart(self) -> None:
        """Stops the server and starts it again."""
        raise NotImplementedError

    async def compact(self, broker: Broker, topic: str, now: datetime) -> None:
        """Makes the broker compact the topic as if it were `now`, and returns when that is done. It may publish messages
        of its own, whose keys are not single letters."""
        raise NotImplementedError

    # Publishing

    async def test_declaring_again_changes_nothing_and_other_partitions_are_refused(self) -> None:
        """`declare` keeps an existing topic and its messages, and refuses another number of partitions."""
        async with self.topic(partitions=2) as (broker, topic):
            await broker.publish(make_messages(topic, 3))
            await broker.declare([Topic(topic, "test", (), partitions=2, retention_days=None)])
            assert len([message async for message in broker.read_to_end(topic)]) == 3
            with pytest.raises(ValueError, match="partitions"):
                await broker.declare([Topic(topic, "test", (), partitions=3, retention_days=None)])

    async def test_a_topic_or_partition_that_does_not_exist_is_refused(self) -> None:
        """`publish` raises ValueError for an unknown topic or partition."""
        async with self.topic() as (broker, topic):
            with pytest.raises(ValueError, match="partition"):
                await broker.publish([*make_messages(topic, 1), Outgoing(topic, 7, "k", b"")])
            with pytest.raises(ValueError, match="partition"):
                await broker.publish(make_messages(f"{topic}.missing", 1))

    async def test_offsets_are_gap_free_and_keys_stay_in_order_under_concurrent_publishers(self) -> None:
        """Four publishers at once leave offsets without gaps, times that rise, and each key in the order of its publisher."""
        async with self.topic(partitions=2) as (broker, topic), self.connect() as other, self.connect() as third:

            async def publish(via: Broker, name: str) -> None:
                for round in range(10):
                    # The two partitions in another order each time.
                    places = (0, 1) if round % 2 else (1, 0)
                    await via.publish(
                        [
                            Outgoing(topic, place, name, f"{round * 5 + step}".encode())
                            for place in places
                            for step in range(5)
                        ]
                    )

            await asyncio.gather(publish(broker, "a"), publish(other, "b"), publish(third, "c"), publish(broker, "d"))
            messages = [message async for message in broker.read_to_end(topic)]
            for partition in (0, 1):
                here = [message for message in messages if message.partition == partition]
                assert [message.offset for message in here] == list(range(200))
                assert [message.at for message in here] == sorted(message.at for message in here)
                for key in "abcd":
                    assert [message.value for message in here if message.key == key] == [
                        f"{number}".encode() for number in range(50)
                    ]

    async def test_everything_comes_back_byte_for_byte(self) -> None:
        """Keys, headers and values are read as they were published: every byte value, Unicode, empty, None, a megabyte."""
        headers = {"content-type": "application/json", "ce_subject": "Zoë 北京 🙂 \u202e\\ \" '", "empty": ""}
        values = [bytes(range(256)), b"\x00", "坐席 🙂".encode(), b"", None, b"x" * 1_000_000]
        async with self.topic() as (broker, topic):
            before = datetime.now(UTC)
            await broker.publish([Outgoing(topic, 0, "ключ|🙂", value, headers) for value in values])
            async with broker.join(GROUP, [topic]) as reader:
                read = await read_messages(reader, len(values))
            tailed = [message async for message in broker.read_to_end(topic)]
        assert [message.value for message in read] == values
        assert {message.key for message in read} == {"ключ|🙂"}
        assert all(message.headers == headers for message in read)
        assert all(abs(message.at - before) < timedelta(seconds=30) and message.at.tzinfo for message in read)
        assert tailed == read

    async def test_publishing_and_reading_go_on_after_a_restart(self) -> None:
        """After a restart of the server the same broker and reader continue where they were."""
        async with self.topic() as (broker, topic), broker.join(GROUP, [topic]) as reader:
            await broker.publish(make_messages(topic, 3))
            await read_messages(reader, 3)
            await self.restart()
            await publish_with_retry(broker, make_messages(topic, 2, first=3))
            read = await read_messages(reader, 2, start=3)
            assert [message.offset for message in read][:2] == [3, 4]
            assert {message.value for message in read} == {b"3", b"4"}

    # Reading

    async def test_a_group_can_replay_from_the_first_message(self) -> None:
        """A member that seeks to 0 reads every message again, whatever its group has read before."""
        async with self.topic(partitions=2) as (broker, topic):
            await broker.publish(make_messages(topic, 25) + make_messages(topic, 5, partition=1))
            for _ in range(2):
                async with broker.join(GROUP, [topic]) as reader:
                    read = await read_messages(reader, 30, max_messages=7)
                assert [message.offset for message in read if message.partition == 0] == list(range(25))
                assert [message.offset for message in read if message.partition == 1] == list(range(5))

    async def test_a_group_that_joins_late_finds_everything_and_then_what_is_new(self) -> None:
        """A new group can read all older messages, and then gets new ones."""
        async with self.topic() as (broker, topic), broker.join("early", [topic]) as early:
            await broker.publish(make_messages(topic, 10))
            await read_messages(early, 10)
            async with broker.join("late", [topic]) as late:
                assert [message.offset for message in await read_messages(late, 10)] == list(range(10))
                await broker.publish(make_messages(topic, 1, first=10))
                assert [message.offset for message in await read_messages(late, 1, start=None)] == [10]

    async def test_a_slow_group_blocks_nobody(self) -> None:
        """A group that does not fetch delays neither publishers nor other groups, and loses no message."""
        async with self.topic() as (broker, topic), AsyncExitStack() as stack:
            slow = await stack.enter_async_context(broker.join("slow", [topic]))
            fast = await stack.enter_async_context(broker.join("fast", [topic]))
            await broker.publish(make_messages(topic, 50))
            assert len(await read_messages(slow, 5, max_messages=5)) == 5  # and then it reads no more
            assert len(await read_messages(fast, 50)) == 50
            await broker.publish(make_messages(topic, 50, first=50))
            assert [message.offset for message in await read_messages(fast, 50, start=None)] == list(range(50, 100))
            assert [message.offset for message in await read_messages(slow, 95, start=None)] == list(range(5, 100))

    async def test_a_busy_partition_does_not_starve_the_others(self) -> None:
        """A fetch takes messages from all partitions, not only from the one with the largest backlog."""
        async with self.topic(partitions=2) as (broker, topic):
            await broker.publish(make_messages(topic, 500) + make_messages(topic, 5, partition=1))
            async with broker.join(GROUP, [topic]) as reader:
                read = await read_messages(reader, 200, max_messages=50)
            assert len([message for message in read if message.partition == 1]) == 5

    async def test_a_waiting_reader_is_woken(self) -> None:
        """`fetch` returns soon after a message was published, and returns an empty list after `wait_seconds` without one."""
        async with self.topic() as (broker, topic), self.connect() as writer, broker.join(GROUP, [topic]) as reader:
            await writer.publish(make_messages(topic, 1))
            await read_messages(reader, 1)
            fetching = asyncio.create_task(reader.fetch(max_messages=10, wait_seconds=20))
            await asyncio.sleep(0.1)  # sleep: the fetch has begun to wait
            assert not fetching.done()
            started = time.monotonic()
            await writer.publish(make_messages(topic, 1))
            (batch,) = await fetching
            assert time.monotonic() - started < 0.9  # sooner than any polling
            assert (len(batch.messages), batch.next_offset) == (1, 2)
            started = time.monotonic()
            assert await reader.fetch(max_messages=10, wait_seconds=0.2) == []
            assert 0.1 < time.monotonic() - started < 5

    async def test_nothing_is_delivered_before_seek_and_seek_goes_back(self) -> None:
        """A partition yields no message until `seek`, and then begins at its offset, forwards or backwards."""
        async with self.topic() as (broker, topic), broker.join(GROUP, [topic]) as reader:
            await broker.publish(make_messages(topic, 10))
            while not reader.assignment():
                await reader.fetch(max_messages=10, wait_seconds=1)
            assert await reader.fetch(max_messages=10, wait_seconds=0.3) == []
            partition = TopicPartition(topic, 0)
            for offset in (4, 8, 2):
                await reader.seek(partition, offset)
                (batch,) = await reader.fetch(max_messages=3, wait_seconds=5)
                last = min(offset + 3, 10)
                assert [message.offset for message in batch.messages] == list(range(offset, last))
                assert (batch.partition, batch.next_offset) == (partition, last)

    async def test_lag(self) -> None:
        """`lag` is the number of messages after the reported offset, by partition; an unknown group has none."""
        async with self.topic(partitions=2) as (broker, topic), broker.join(GROUP, [topic]) as reader:
            first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
            await broker.publish(make_messages(topic, 10) + make_messages(topic, 4, partition=1))
            assert await broker.lag(f"{GROUP}.unknown") == {}
            await read_messages(reader, 14)
            await reader.report_offset(first, 7)
            assert await self.wait_for_lag(broker, topic, {first: 3, second: 4})
            await reader.report_offset(first, 10)
            await reader.report_offset(second, 4)
            assert await self.wait_for_lag(broker, topic, {first: 0, second: 0})
            await broker.publish(make_messages(topic, 2))
            assert await self.wait_for_lag(broker, topic, {first: 2, second: 0})

    async def test_progress_is_known_soon(self) -> None:
        """Another instance sees within two seconds what a group has reported, and leaves unknown groups out."""
        async with self.topic(partitions=2) as (broker, topic), self.connect() as other:
            assert await other.load_progress(topic, [GROUP]) == {}
            await broker.publish(make_messages(topic, 10) + make_messages(topic, 4, partition=1))
            async with broker.join(GROUP, [topic]) as reader:
                await read_messages(reader, 14)
                await reader.report_offset(TopicPartition(topic, 0), 7)
                await self.wait_for_progress(other, topic, GroupProgress(7, 7))
                await reader.report_offset(TopicPartition(topic, 0), 10)
                await reader.report_offset(TopicPartition(topic, 1), 4)
                began = time.monotonic()
                await self.wait_for_progress(other, topic, GroupProgress(14, 0))
                assert time.monotonic() - began < 2
                assert (await other.load_progress(topic, ["nobody", GROUP])).keys() == {GROUP}

    # Groups

    async def test_members_share_the_partitions_and_a_leaving_one_hands_over(self) -> None:
        """Two members divide the partitions between them. When one leaves, the other gets all."""
        async with self.topic(partitions=4) as (broker, topic), self.connect() as other:
            every = {TopicPartition(topic, partition) for partition in range(4)}
            async with broker.join(GROUP, [topic]) as first:
                async with other.join(GROUP, [topic]) as second:
                    await wait_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
                    assert first.assignment() | second.assignment() == every
                    await broker.publish(
                        [message for place in range(4) for message in make_messages(topic, 3, partition=place)]
                    )
                    mine, others = await read_messages(first, 6), await read_messages(second, 6)
                    assert {message.partition for message in mine}.isdisjoint(message.partition for message in others)
                await wait_until(lambda: first.assignment() == every, first)

    async def test_two_members_on_one_instance_do_not_read_the_same_partition(self) -> None:
        """At no time do two members of a group on one instance have the same partition."""
        async with self.topic(partitions=1) as (broker, topic):
            async with broker.join(GROUP, [topic]) as first, broker.join(GROUP, [topic]) as second:
                for _ in range(20):
                    assert len(first.assignment()) + len(second.assignment()) <= 1
                    await asyncio.sleep(0.1)  # sleep: looks at the assignment twenty times within two seconds
                await wait_until(lambda: len(first.assignment()) + len(second.assignment()) == 1, first, second)

    async def test_the_partitions_of_a_killed_member_are_taken_over_within_seconds(self) -> None:
        """When the process of a member is killed, another one reads its partitions within ten seconds."""
        async with self.topic() as (broker, topic):
            await broker.publish(make_messages(topic, 3))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", MEMBER, self.member_factory, self.address(), GROUP, topic),
                json.dumps(self.member_options),
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                assert process.stdout
                assert await asyncio.wait_for(process.stdout.readline(), 20) == b"reading\n"
            finally:
                process.kill()
                await process.wait()
            started = time.monotonic()
            async with broker.join(GROUP, [topic]) as reader:
                assert len(await read_messages(reader, 3)) == 3
            assert time.monotonic() - started < 10

    # Keeping

    async def test_compaction_keeps_the_newest_of_each_key(self) -> None:
        """Compaction removes older messages of a key; offsets stay, and the newest messages remain."""
        async with self.topic(compacted=True) as (broker, topic):
            for value in (b"old", b"older than new", b"new"):
                await broker.publish([Outgoing(topic, 0, "a", value), Outgoing(topic, 0, "b", value)])
            await broker.publish([Outgoing(topic, 0, "a", None), Outgoing(topic, 0, "c", b"last")])
            await self.compact(broker, topic, datetime.now(UTC))
            remaining = [(message.offset, message.key, message.value) async for message in broker.read_to_end(topic)]
            assert [each for each in remaining if each[1] in "abc"] == [
                (5, "b", b"new"),
                (6, "a", None),
                (7, "c", b"last"),
            ]

    async def test_compaction_forgets_tombstones_after_a_day(self) -> None:
        """Compaction removes a tombstone a day after it was published, and readers pass over the gaps in offsets."""
        async with self.topic(compacted=True) as (broker, topic):
            await broker.publish([Outgoing(topic, 0, "a", b"old"), Outgoing(topic, 0, "b", b"old")])
            await broker.publish([Outgoing(topic, 0, "a", None), Outgoing(topic, 0, "c", b"last")])
            await self.compact(broker, topic, datetime.now(UTC) + timedelta(days=2))
            async with broker.join(GROUP, [topic]) as reader:
                while not reader.assignment():
                    await reader.fetch(max_messages=1, wait_seconds=1)
                partition = TopicPartition(topic, 0)
                await reader.seek(partition, 0)
                (batch,) = await reader.fetch(max_messages=10, wait_seconds=5)
            found = [(message.offset, message.key) for message in batch.messages]
            assert [each for each in found if each[1] in "abc"] == [(1, "b"), (3, "c")]
            assert batch.next_offset == found[-1][0] + 1

    async def test_publishing_goes_on_where_it_was_after_everything_was_compacted(self) -> None:
        """Offsets never go back, even when compaction has removed every message."""
        async with self.topic(compacted=True) as (broker, topic):
            await broker.publish([Outgoing(topic, 0, "a", None), Outgoing(topic, 0, "b", None)])
            await self.compact(broker, topic, datetime.now(UTC) + timedelta(days=2))
            offsets = [message.offset async for message in broker.read_to_end(topic)]
            await broker.publish([Outgoing(topic, 0, "a", b"again")])
            last = [message async for message in broker.read_to_end(topic)][-1]
            assert (last.offset, last.value) == (max([*offsets, 1]) + 1, b"again")

    # Helpers

    @asynccontextmanager
    async def topic(self, **options: Any) -> AsyncGenerator[tuple[Broker, str]]:
        """A broker and a new topic in it. `options` are those of `Topic`; the default is one partition, kept for ever."""
        name = f"test.{new_id()}"
        async with self.connect() as broker:
            declared: dict[str, Any] = {"partitions": 1, "retention_days": None} | options
            await broker.declare([Topic(name, "test", (), **declared)])
            yield broker, name

    async def wait_for_progress(self, broker: Broker, topic: str, expected: GroupProgress) -> None:
        """Returns when the broker reports this progress of `GROUP`. Raises TimeoutError after 10 s."""
        found: dict[str, GroupProgress] = {}
        async with asyncio.timeout(10):
            while found != {GROUP: expected}:
                found = await broker.load_progress(topic, [GROUP])

    async def wait_for_lag(self, broker: Broker, topic: str, expected: dict[TopicPartition, int]) -> bool:
        """True as soon as the broker reports this lag of `GROUP`, in messages. Raises AssertionError after 10 s."""
        found: dict[TopicPartition, int] = {}
        for _ in range(100):
            found = {partition: lag for partition, lag in (await broker.lag(GROUP)).items() if partition.topic == topic}
            if found == expected:
                return True
            await asyncio.sleep(0.1)
        raise AssertionError(f"lag is {found}")


def make_messages(topic: str, count: int, *, first: int = 0, partition: int = 0) -> list[Outgoing]:
    """Messages whose values count from `first`."""
    return [Outgoing(topic, partition, "key", f"{number}".encode()) for number in range(first, first + count)]


async def read_messages(
    reader: Reader, count: int, *, start: int | None = 0, max_messages: int = 500, seconds: float = 20
) -> list[Message]:
    """Reads until there are `count` messages, and returns them in the order of delivery; the last batch may bring more. Each
    partition is read from `start`. With None, the partitions that the reader has already are read on from where they are.
    Raises TimeoutError after `seconds`."""
    known: set[TopicPartition] = reader.assignment() if start is None else set()
    messages: list[Message] = []
    async with asyncio.timeout(seconds):
        while len(messages) < count:
            assigned = reader.assignment()
            for partition in assigned - known:
                await reader.seek(partition, start or 0)
            known = assigned
            try:
                batches = await reader.fetch(max_messages=max_messages, wait_seconds=1)
            except ConnectionError:
                await asyncio.sleep(0.2)
                continue
            for batch in batches:
                offsets = [message.offset for message in batch.messages]
                assert offsets == sorted(set(offsets))
                assert batch.next_offset > offsets[-1]
                messages += batch.messages
    return messages


async def wait_until(condition: Any, *readers: Reader, seconds: float = 20) -> None:
    """Fetches for `readers`, which makes them take part in their group, until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            for reader in readers:
                await reader.fetch(max_messages=1, wait_seconds=0.05)


async def publish_with_retry(broker: Broker, messages: Sequence[Outgoing], *, seconds: float = 30) -> None:
    """Publishes, and tries again while the broker cannot be reached. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await broker.publish(messages)
            except ConnectionError:
                await asyncio.sleep(0.1)
