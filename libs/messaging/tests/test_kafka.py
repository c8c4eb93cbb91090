"""What only Kafka has: declarations that drift, a client library with a will of its own, processes that are killed."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString, cast

import aiokafka
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from contracts import Topic, new_id
from messaging.broker import Outgoing, TopicPartition
from messaging.consumer import ConsumerStatus, consume
from messaging.kafka import KafkaBroker
from sqlalchemy import create_engine
from storage import ensure_schema
from storage.embedded import EmbeddedPostgres
from storage.tables import PLATFORM_TABLES
from testkit import Cluster, wait_until_true
from testkit.broker_conformance import MEMBER, make_messages, publish_with_retry, read_messages, wait_until
from testkit.broker_member import TABLES, PostgresHandler
from testkit.programs import free_port
from testkit.programs.kafka import Kafka
from testkit.schemas import create_tables

RELAY = str(Path(__file__).with_name("relay_process.py"))
SESSION_SECONDS = 3.0
GROUP = "readers"


@pytest.fixture
async def broker(kafka_program: Kafka) -> AsyncIterator[KafkaBroker]:
    async with KafkaBroker(kafka_program.address, session_seconds=SESSION_SECONDS, publish_seconds=3) as broker:
        yield broker


@pytest.fixture
async def admin(kafka_program: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_program.address)
    await admin.start()
    yield admin
    await admin.close()


@pytest.fixture
def effects(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """The tables of `PostgresHandler`, empty."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS place, effect")
        connection.execute(TABLES)
        yield connection


async def declared(broker: KafkaBroker, **kept: Any) -> str:
    topic = Topic(f"test.{new_id()}", "test", (), **{"partitions": 1, **kept})
    await broker.declare([topic])
    return topic.name


# Declarations


async def test_a_topic_is_made_as_declared_and_drift_is_named(broker: KafkaBroker) -> None:
    kept = Topic(f"test.{new_id()}", "test", (), partitions=2, retention_days=3)
    with pytest.raises(ValueError, match=f"^Topic {kept.name} is missing.$"):
        await broker.validate_topics([kept])
    with pytest.raises(ValueError, match="has not been declared"):
        broker.count_partitions(kept.name)
    await asyncio.gather(*(broker.declare([kept]) for _ in range(3)))
    await broker.validate_topics([kept])
    assert broker.count_partitions(kept.name) == 2
    changed = replace(kept, partitions=4, compacted=True, retention_days=None)
    other = Topic(f"{kept.name}.other", "test", ())
    with pytest.raises(ValueError) as error:
        await broker.validate_topics([changed, other])
    assert str(error.value).splitlines() == [
        f"Topic {kept.name}: partitions is 2, not 4; cleanup.policy is delete, not compact;"
        f" retention.ms is {3 * 24 * 3600 * 1000}, not -1.",
        f"Topic {other.name} is missing.",
    ]


async def test_more_replicas_than_there_are_brokers_are_refused(kafka_program: Kafka) -> None:
    async with KafkaBroker(kafka_program.address, replication_factor=3) as broker:
        with pytest.raises(Exception, match=r"[Rr]eplication"):
            await declared(broker)


async def test_the_setting_lowers_partitions_and_never_raises_them(kafka_program: Kafka) -> None:
    async with KafkaBroker(kafka_program.address, partitions=2) as broker:
        assert broker.count_partitions(await declared(broker, partitions=6)) == 2
        assert broker.count_partitions(await declared(broker, partitions=1)) == 1


async def test_a_message_that_is_too_large_is_refused_before_anything_is_sent(broker: KafkaBroker) -> None:
    topic = await declared(broker)
    with pytest.raises(ValueError, match="bytes"):
        await broker.publish([*make_messages(topic, 1), Outgoing(topic, 0, "key", b"x" * 1_040_000)])
    await broker.publish(make_messages(topic, 1, first=1))
    assert [message.value async for message in broker.read_to_end(topic)] == [b"1"]


# A Kafka that does not answer


async def test_a_kafka_that_is_not_there_is_a_connection_error() -> None:
    async with KafkaBroker(f"127.0.0.1:{free_port()}") as broker:
        with pytest.raises(ConnectionError):
            await broker.publish(make_messages("test.nowhere", 1))
        with pytest.raises(ConnectionError):
            await broker.declare([Topic("test.nowhere", "test", ())])
        with pytest.raises(ConnectionError):
            await broker.lag(GROUP)
        with pytest.raises(ConnectionError):
            async with broker.join(GROUP, ["test.nowhere"]):
                pass


async def test_what_publish_gave_up_does_not_arrive_after_what_came_later(
    kafka_program: Kafka, broker: KafkaBroker
) -> None:
    topic = await declared(broker)
    async with KafkaBroker(kafka_program.address, publish_seconds=1) as impatient:
        await impatient.publish(make_messages(topic, 1))
        kafka_program.signal(signal.SIGSTOP)
        for number in (1, 2):
            with pytest.raises(ConnectionError):
                await impatient.publish(make_messages(topic, 1, first=number))
        kafka_program.signal(signal.SIGCONT)
        for number in (3, 4):
            await publish_with_retry(impatient, make_messages(topic, 1, first=number))
    arrived = [int(message.value or b"") async for message in broker.read_to_end(topic)]
    assert arrived == sorted(arrived)
    assert {0, 3, 4} <= set(arrived)


# Reading


async def test_what_retention_has_taken_is_passed_over(broker: KafkaBroker, admin: AIOKafkaAdminClient) -> None:
    topic = await declared(broker)
    await broker.publish(make_messages(topic, 10))
    await admin.delete_records({aiokafka.TopicPartition(topic, 0): RecordsToDelete(6)})
    async with broker.join(GROUP, [topic]) as reader:
        assert [message.offset for message in await read_messages(reader, 4, start=0)] == [6, 7, 8, 9]
    assert [message.offset async for message in broker.read_to_end(topic)] == [6, 7, 8, 9]


async def test_a_fetch_that_is_given_up_loses_nothing(broker: KafkaBroker) -> None:
    topic = await declared(broker)
    async with broker.join(GROUP, [topic]) as reader:
        await wait_until(lambda: reader.assignment(), reader)
        await reader.seek(TopicPartition(topic, 0), 0)
        read: list[int] = []
        for number in range(20):
            fetching = asyncio.create_task(reader.fetch(max_messages=10, wait_seconds=5))
            await asyncio.sleep(0)
            await broker.publish(make_messages(topic, 1, first=number))
            fetching.cancel()
            (given_up,) = await asyncio.gather(fetching, return_exceptions=True)
            if not isinstance(given_up, BaseException):
                read += [message.offset for batch in given_up for message in batch.messages]
        while len(read) < 20:
            read += [
                message.offset
                for batch in await reader.fetch(max_messages=100, wait_seconds=5)
                for message in batch.messages
            ]
    assert read == list(range(20))


async def test_a_place_that_is_sought_during_a_rebalance_is_kept(broker: KafkaBroker) -> None:
    topic = await declared(broker)
    await broker.publish(make_messages(topic, 3))
    partition = TopicPartition(topic, 0)
    async with broker.join(GROUP, [topic]) as reader:
        await wait_until(reader.assignment, reader)
        reader.on_partitions_revoked()
        await reader.seek(partition, 1)
        reader.on_partitions_assigned({partition})
        assert [message.offset for message in await read_messages(reader, 2, start=None)] == [1, 2]


async def test_a_place_is_kept_over_a_rebalance_that_its_reader_did_not_see(broker: KafkaBroker) -> None:
    topic = await declared(broker, partitions=2)
    await broker.publish(make_messages(topic, 5) + make_messages(topic, 5, partition=1))
    async with broker.join(GROUP, [topic]) as first:
        assert len(await read_messages(first, 10)) == 10
        async with broker.join(GROUP, [topic]) as second:
            await wait_until(second.assignment, second)
        # Both partitions are the first one's again; it has not asked for its assignment since.
        await broker.publish(make_messages(topic, 1, first=5) + make_messages(topic, 1, first=5, partition=1))
        read = await wait_until_true(lambda: first.fetch(max_messages=10, wait_seconds=1), seconds=20)
        while len(read) < 2:
            read += await first.fetch(max_messages=10, wait_seconds=1)
    assert sorted((batch.partition.partition, batch.messages[0].offset) for batch in read) == [(0, 5), (1, 5)]


async def test_a_batch_may_take_longer_than_a_session(
    broker: KafkaBroker, admin: AIOKafkaAdminClient, postgres: EmbeddedPostgres, effects: psycopg.Connection[Any]
) -> None:
    topic = await declared(broker)
    slow = PostgresHandler(postgres.dsn, wait=1.5 * SESSION_SECONDS)

    async def members() -> list[str]:
        (answer,) = await admin.describe_consumer_groups([f"{GROUP}:{topic}"])
        groups: list[Any] = answer.groups  # pyright: ignore[reportAttributeAccessIssue]
        return [member[0] for group in groups for member in group[5]]

    await broker.publish(make_messages(topic, 1))
    async with consuming(broker, topic, slow) as status:
        before = await wait_until_true(members, seconds=20)
        await wait_until_true(lambda: count(effects), seconds=30)
        slow.wait, rounds = 0.0, status.last_poll_at
        assert await members() == before
        await broker.publish(make_messages(topic, 1, first=1))
        await wait_until_true(lambda: is_so(status.last_poll_at != rounds))
        await wait_until_true(lambda: is_so(values(effects, topic) == [0, 1]), seconds=30)
        assert await members() == before
        await wait_until_true(lambda: lag_is(broker, {TopicPartition(topic, 0): 0}))


# Processes that are killed


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_kafka_is_killed_and_comes_back(
    kafka_program: Kafka, broker: KafkaBroker, postgres: EmbeddedPostgres, effects: psycopg.Connection[Any]
) -> None:
    topic = await declared(broker)
    failures = 0

    async def publish(number: int) -> None:
        nonlocal failures
        while True:
            try:
                return await broker.publish(make_messages(topic, 5, first=number))
            except ConnectionError:
                failures += 1
                await asyncio.sleep(0.2)  # sleep: a publisher that tries again

    async with consuming(broker, topic, PostgresHandler(postgres.dsn)) as status:
        for number in range(0, 100, 5):
            await publish(number)
        await wait_until_true(lambda: count(effects), seconds=20)
        kafka_program.kill()
        waiting = asyncio.create_task(publish(100))
        await wait_until_true(lambda: is_so(failures), seconds=20)
        rounds = status.last_poll_at
        await wait_until_true(lambda: is_so(status.last_poll_at != rounds), seconds=30)
        kafka_program.launch()
        await asyncio.to_thread(kafka_program.wait)
        await waiting
        for number in range(105, 200, 5):
            await publish(number)
        await wait_until_true(lambda: is_so(len(set(values(effects, topic))) == 200), seconds=40)
    arrived = values(effects, topic)
    assert list(dict.fromkeys(arrived)) == list(range(200))  # some came twice, none came early
    assert arrived == [int(message.value or b"") async for message in broker.read_to_end(topic)]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_members_come_and_go_and_every_message_takes_effect_once(
    kafka_program: Kafka, broker: KafkaBroker, postgres: EmbeddedPostgres, effects: psycopg.Connection[Any]
) -> None:
    topic = await declared(broker, partitions=6)
    published, over = 0, asyncio.Event()

    async def publish() -> None:
        nonlocal published
        while not over.is_set():
            for partition in range(6):
                await broker.publish(make_messages(topic, 5, first=published, partition=partition))
            published += 5
            await asyncio.sleep(0.05)  # sleep: a steady flow

    members = [await member(kafka_program, topic, postgres) for _ in range(2)]
    publishing = asyncio.create_task(publish())
    try:
        for _ in range(3):
            members.append(await member(kafka_program, topic, postgres))
            await until_more(effects)
            await killed(members.pop(0))
            await until_more(effects)
        over.set()
        await publishing
        await wait_until_true(lambda: is_so(len([*effects.execute("SELECT FROM effect")]) >= published * 6), seconds=60)
    finally:
        over.set()
        await asyncio.gather(publishing, *(killed(process) for process in members))
    for partition in range(6):
        assert values(effects, topic, partition) == list(range(published))


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_zombie_is_fenced(
    kafka_program: Kafka, broker: KafkaBroker, postgres: EmbeddedPostgres, effects: psycopg.Connection[Any]
) -> None:
    topic = await declared(broker)
    await broker.publish(make_messages(topic, 20))
    zombie = await member(kafka_program, topic, postgres, wait=1.0, stdout=PIPE)
    try:
        await said(zombie, "handling")
        zombie.send_signal(signal.SIGSTOP)
        async with consuming(broker, topic, PostgresHandler(postgres.dsn)):
            await wait_until_true(lambda: is_so(len(values(effects, topic)) == 20), seconds=30)
            zombie.send_signal(signal.SIGCONT)
            await said(zombie, "fenced")
            await broker.publish(make_messages(topic, 20, first=20))
            await wait_until_true(lambda: is_so(len(values(effects, topic)) >= 40), seconds=30)
    finally:
        await killed(zombie)
    assert values(effects, topic) == list(range(40))


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_relays_are_killed_and_nothing_is_lost_or_out_of_order(
    kafka_program: Kafka, broker: KafkaBroker, cluster: Cluster, empty_database: str
) -> None:
    topic = await declared(broker, partitions=6)
    keys, each = 24, 100
    settings = cluster.settings(empty_database)
    ensure_schema(cast(str, settings.admin_database_url), "training", role="training")
    url = settings.database_url.replace("{role}", "training")
    engine = create_engine(url, connect_args={"options": "-c search_path=training"})
    with engine.begin() as connection:
        create_tables(connection, PLATFORM_TABLES)
    engine.dispose()
    start = (sys.executable, "-P", RELAY, url, "training", kafka_program.address)
    relays = [await asyncio.create_subprocess_exec(*start) for _ in range(4)]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database:

        async def number(query: LiteralString) -> int:
            row = database.execute(query).fetchone()
            assert row
            return int(row[0])

        async def all_have_come() -> bool:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            return await number(f"SELECT count(*) {others}") >= len(relays)

        async def waiting_at_most(most: float) -> bool:
            return await number("SELECT count(*) FROM training.outbox") <= most

        try:
            await wait_until_true(all_have_come, seconds=60)
            database.execute(
                "INSERT INTO training.outbox (topic, partition, key, headers, value)"
                " SELECT %s, key %% 6, 'key ' || key, '{}', convert_to(number::text, 'UTF8')"
                " FROM generate_series(1, %s) AS number, generate_series(1, %s) AS key ORDER BY number, key",
                (topic, each, keys),
            )
            for part in (0.75, 0.5, 0.25):
                await wait_until_true(lambda part=part: waiting_at_most(part * each * keys), seconds=60)
                await killed(relays.pop(0))
            await wait_until_true(lambda: waiting_at_most(0), seconds=60)
        finally:
            await asyncio.gather(*(killed(relay) for relay in relays))
    arrived: dict[str, list[int]] = {}
    async for message in broker.read_to_end(topic):
        arrived.setdefault(message.key, []).append(int(message.value or b""))
    assert len(arrived) == keys
    for numbers in arrived.values():
        assert list(dict.fromkeys(numbers)) == list(range(1, each + 1))


# How


@asynccontextmanager
async def consuming(broker: KafkaBroker, topic: str, effects: PostgresHandler) -> AsyncIterator[ConsumerStatus]:
    status, stopping = ConsumerStatus(), asyncio.Event()
    task = asyncio.create_task(consume(broker, GROUP, topic, effects, stopping=stopping, status=status))
    try:
        yield status
    finally:
        stopping.set()
        await asyncio.wait_for(task, 20)


async def member(
    kafka: Kafka, topic: str, postgres: EmbeddedPostgres, *, wait: float = 0.0, stdout: int = DEVNULL
) -> Process:
    options = json.dumps({"session_seconds": SESSION_SECONDS})
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", MEMBER, "messaging.kafka:KafkaBroker", kafka.address, GROUP, topic, options),
        *(postgres.dsn, str(wait)),
        stdout=stdout,
    )


async def said(process: Process, word: str) -> None:
    assert process.stdout
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            if line.decode().strip() == word:
                return
    raise AssertionError(f"ended without having said {word}")


async def killed(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def until_more(effects: psycopg.Connection[Any]) -> None:
    before = await count(effects)

    async def more() -> bool:
        return await count(effects) > before + 60

    await wait_until_true(more, seconds=60)


async def count(effects: psycopg.Connection[Any]) -> int:
    row = effects.execute("SELECT count(*) FROM effect").fetchone()
    assert row
    return int(row[0])


def values(effects: psycopg.Connection[Any], topic: str, partition: int = 0) -> list[int]:
    """In the order of their effect."""
    rows = effects.execute(
        "SELECT value FROM effect WHERE topic = %s AND partition = %s ORDER BY id", (topic, partition)
    )
    return [int(value) for (value,) in rows]


async def is_so(condition: object) -> object:
    return condition


async def lag_is(broker: KafkaBroker, expected: dict[TopicPartition, int]) -> bool:
    return expected.items() <= (await broker.lag(GROUP)).items()
