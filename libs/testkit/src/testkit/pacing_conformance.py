"""The tests of a broker with which relays limit themselves to what its readers handle (`FlowControl`)."""

import asyncio
from contextlib import AsyncExitStack

from messaging.flow_control import FlowControl

from testkit.broker_conformance import GROUP, BrokerConformance, make_messages, read_messages


class PacingConformance(BrokerConformance):
    """`BrokerConformance`, with the tests of flow control."""

    async def test_no_more_is_under_way_than_readers_handle_in_a_moment(self) -> None:
        """With readers of a thousand messages a second, fewer than a thousand are published and not handled."""
        async with self.topic(partitions=2) as (broker, topic), broker.join(GROUP, [topic]) as reader:
            window = FlowControl(broker, topic, [GROUP])
            most, handled = 0, 0
            await broker.publish(make_messages(topic, 1) + make_messages(topic, 1, partition=1))
            await read_messages(reader, 2)
            async with asyncio.timeout(60):
                while handled < 2000:
                    await window.refresh_capacity()
                    if window.capacity > 0:
                        count = window.capacity
                        await broker.publish(
                            make_messages(topic, count // 2) + make_messages(topic, count - count // 2, partition=1)
                        )
                        window.record_published(count)
                    for batch in await reader.fetch(max_messages=100, wait_seconds=0.05):
                        await asyncio.sleep(0.1)  # sleep: a reader that handles about a thousand messages a second
                        handled += len(batch.messages)
                        await reader.report_offset(batch.partition, batch.next_offset)
                    found = await broker.load_progress(topic, [GROUP])
                    most = max([most, *(each.waiting for each in found.values())])
            assert most < 1000, "a backlog waits where others can pass it"

    async def test_a_group_that_stopped_does_not_delay_another(self) -> None:
        """Relays go on publishing for the group that reads, however many messages wait for the other."""
        async with self.topic() as (broker, topic), AsyncExitStack() as stack:
            still = await stack.enter_async_context(broker.join("still", [topic]))
            moving = await stack.enter_async_context(broker.join("moving", [topic]))
            window = FlowControl(broker, topic, ["still", "moving"])
            await broker.publish(make_messages(topic, 1))
            for reader in (still, moving):
                await read_messages(reader, 1)
            async with asyncio.timeout(30):
                handled = 0
                while handled < 1500:
                    await window.refresh_capacity()
                    if window.capacity > 0:
                        count = window.capacity
                        await broker.publish(make_messages(topic, count))
                        window.record_published(count)
                    for batch in await moving.fetch(max_messages=500, wait_seconds=0.05):
                        handled += len(batch.messages)
                        await moving.report_offset(batch.partition, batch.next_offset)
            async with asyncio.timeout(20):  # a broker may report progress a moment later
                while True:
                    found = await broker.load_progress(topic, ["still", "moving"])
                    if found["moving"].waiting <= found["still"].waiting - 1000:
                        break
                    for batch in await moving.fetch(max_messages=500, wait_seconds=0.05):
                        await moving.report_offset(batch.partition, batch.next_offset)
