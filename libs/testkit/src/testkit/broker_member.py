"""A member of a group in a process of its own, to be killed or stopped:

    broker_member.py FACTORY ADDRESS GROUP TOPIC [OPTIONS [DSN [WAIT]]]

FACTORY is `module:name` of a function that makes a broker from an address and OPTIONS, a JSON object. Without a DSN the
member reads no messages and prints `reading` when it has partitions. With a DSN it consumes the topic into the tables of
`PostgresHandler` in that database, waits WAIT seconds in each batch, and prints `handling` and `fenced`.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Sequence

import psycopg
from messaging.broker import Message, TopicPartition
from messaging.consumer import ConsumerStatus, Fenced, OffsetStep, consume

TABLES = """
CREATE TABLE place (topic text, partition int, next bigint NOT NULL DEFAULT 0, PRIMARY KEY (topic, partition));
CREATE TABLE effect (id bigserial PRIMARY KEY, topic text, partition int, "offset" bigint, value text);
"""


class PostgresHandler:
    """A handler that writes one row for each message, without a key that would hide a message handled twice. It moves the
    offset in the same transaction by compare-and-set. The database has the tables `TABLES`."""

    def __init__(self, dsn: str, *, wait: float = 0.0, say: bool = False) -> None:
        self._dsn = dsn
        self.wait = wait
        self._say = say

    async def load_next_offset(self, group: str, partition: TopicPartition) -> int:
        """The next offset to read; 0 at first."""
        async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
            place = (partition.topic, partition.partition)
            await connection.execute("INSERT INTO place VALUES (%s, %s) ON CONFLICT DO NOTHING", place)
            row = await (
                await connection.execute("SELECT next FROM place WHERE topic = %s AND partition = %s", place)
            ).fetchone()
            assert row
            return int(row[0])

    async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
        """Writes the effects and moves the offsets, after `wait` seconds. Raises Fenced when another member was first."""
        self._print_state("handling")
        async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
            await asyncio.sleep(self.wait)
            for step in sorted(steps, key=lambda step: step.partition.partition):
                moved = await connection.execute(
                    "UPDATE place SET next = %s WHERE topic = %s AND partition = %s AND next = %s",
                    (step.next, step.partition.topic, step.partition.partition, step.expected),
                )
                if moved.rowcount != 1:
                    self._print_state("fenced")
                    raise Fenced
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    'INSERT INTO effect (topic, partition, "offset", value) VALUES (%s, %s, %s, %s)',
                    [(each.topic, each.partition, each.offset, (each.value or b"").decode()) for each in messages],
                )

    async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
        """Fails: no message of these tests may raise."""
        raise AssertionError("No message of these tests is poison.") from error

    def _print_state(self, word: str) -> None:
        if self._say:
            print(word, flush=True)


async def main(
    factory: str, address: str, group: str, topic: str, options: str = "{}", dsn: str = "", wait: str = "0"
) -> None:
    """Joins the group until the process ends. The arguments are those of the command line, in their order."""
    module, name = factory.split(":")
    make = getattr(importlib.import_module(module), name)
    async with make(address, **json.loads(options)) as broker:
        if dsn:
            effects = PostgresHandler(dsn, wait=float(wait), say=True)
            await consume(broker, group, topic, effects, stopping=asyncio.Event(), status=ConsumerStatus())
            return
        async with broker.join(group, [topic]) as reader:
            while not reader.assignment():
                await reader.fetch(max_messages=1, wait_seconds=1)
            print("reading", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
