"""The consumer loop: every message of a topic takes effect exactly once, or becomes a dead letter with its error.

The loop knows brokers and offsets, not storage. A `TransactionalHandler` handles the messages and moves the stored
offsets in one transaction. It raises `Fenced` when a stored offset is not the one the batch began at.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from messaging.attempts import MAX_ATTEMPTS, Attempts, ProcessCrashed
from messaging.broker import Batch, Broker, Message, Reader, TopicPartition
from messaging.consumer.failures import (
    ConsumerFailed,
    FailureHistory,
    FailureLimits,
    describe_error,
    is_permanent,
    tenant_of,
)
from messaging.consumer.status import ConsumerStatus
from messaging.handler import Fenced, OffsetStep, TransactionalHandler
from messaging.retry import Backoff, is_transient, wait_for_any

log = logging.getLogger(__name__)

FETCH_WAIT_SECONDS = 1.0
STALLED_WAIT_SECONDS = 0.25
MIN_POLL_SECONDS = 0.1
TARGET_POLL_SECONDS = 0.25
MIN_BATCH_DIVISOR = 10


async def consume(
    broker: Broker,
    group: str,
    topic: str,
    handler: TransactionalHandler,
    *,
    stopping: asyncio.Event,
    status: ConsumerStatus,
    max_messages: int = 500,
    limits: FailureLimits = FailureLimits(),
    deliver_twice: bool = False,
    attempts: Attempts | None = None,
) -> None:
    """Reads a topic until `stopping` is set, and finishes the current batch. Returns early only when `limits` are
    exceeded, or when a message fails that `deliver_twice` delivers again; `status.error` then says why.

    A transient failure is retried with back-off while other partitions continue. After any other failure, the messages of
    the batch are handled one by one, and those that fail are buried. With `attempts`, a message that repeatedly crashes the
    process is buried too. A batch has at most `max_messages` messages of all partitions together.

    `deliver_twice` is for tests: after a batch has taken effect, it is applied again, with offset steps that do not move.
    A handler that is not idempotent then has its effect twice; one that raises an error stops the consumer.
    """
    status.state, status.error = "running", None
    failures = FailureHistory(limits)
    consumer = _Consumer(
        broker, group, topic, handler, stopping, status, max_messages, failures, deliver_twice, attempts
    )
    try:
        await consumer.run()
    except ConsumerFailed as error:
        status.state, status.error = "failed", str(error)
        log.error("%s stops reading %s: %s", group, topic, error)
    finally:
        if status.state == "running":
            status.state = "stopped"
        status.assigned = frozenset()


@dataclass(slots=True)
class _Consumer:
    broker: Broker
    group: str
    topic: str
    handler: TransactionalHandler
    stopping: asyncio.Event
    status: ConsumerStatus
    max_messages: int
    failures: FailureHistory
    deliver_twice: bool
    attempts: Attempts | None
    # An assigned partition is in `offsets` (its stored offset), in `retry_at` (when to load the offset again), or in neither:
    # its offset is loaded at the next poll.
    offsets: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    retry_at: dict[TopicPartition, float] = field(default_factory=dict[TopicPartition, float])
    backoffs: dict[TopicPartition, Backoff] = field(default_factory=dict[TopicPartition, Backoff])
    attempted_partitions: set[TopicPartition] = field(default_factory=set[TopicPartition])
    """Partitions in which this process has finished at least one attempt, so that their first message does not crash it."""
    fetch_size: int = 0
    """The most messages to fetch at once. Adapted so that a poll takes about `TARGET_POLL_SECONDS`, which is how long
    messages wait that arrive meanwhile."""

    async def run(self) -> None:
        self.fetch_size = self.max_messages
        backoff = Backoff()
        while not self.stopping.is_set():
            self.status.last_poll_at = datetime.now(UTC)
            try:
                async with self.broker.join(self.group, [self.topic]) as reader:
                    while not self.stopping.is_set():
                        await self._poll_once(reader)
                        backoff.reset()
                        if not self.retry_at:
                            self.status.last_transient_error = None
            except ConsumerFailed:
                raise
            except Exception as error:
                self._log_retry(error)
                self._drop_unassigned(set())
                await wait_for_any(backoff.next_delay_seconds(), self.stopping)

    async def _poll_once(self, reader: Reader) -> None:
        self.status.last_poll_at = datetime.now(UTC)
        await self._sync_assignment(reader)
        batches = await self._fetch(reader)
        began = _monotonic()
        self._update_lag(batches)
        ready = [batch for batch in batches if batch.partition in self.offsets]
        if ready:
            count = sum(len(batch.messages) for batch in batches)
            full = count >= self.fetch_size
            await self._handle_poll(reader, ready)
            self._adapt_fetch_size(count, _monotonic() - began)
            if not full:
                # The first message is handled at once, those that follow soon together: a poll costs more than a message.
                await wait_for_any(began + MIN_POLL_SECONDS - _monotonic(), self.stopping)
        if batches and not ready:
            # Only partitions in back-off have messages. These are dropped here, and read again from the stored offset once
            # the retry is due.
            await wait_for_any(STALLED_WAIT_SECONDS, self.stopping)

    def _adapt_fetch_size(self, count: int, seconds: float) -> None:
        """Sets the next batch's size by the speed of this one, to at most twice the current size."""
        fitting = int(count * TARGET_POLL_SECONDS / max(seconds, 0.001))
        if seconds > TARGET_POLL_SECONDS or count >= self.fetch_size:
            self.fetch_size = max(
                min(fitting, 2 * self.fetch_size, self.max_messages), self.max_messages // MIN_BATCH_DIVISOR, 1
            )

    # Assignment and offsets

    async def _sync_assignment(self, reader: Reader) -> None:
        assigned = reader.assignment()
        self._drop_unassigned(assigned)
        now = _monotonic()
        for partition in assigned:
            if partition not in self.offsets and self.retry_at.get(partition, now) <= now:
                try:
                    offset = await self.handler.load_next_offset(self.group, partition)
                except Exception as error:
                    self._back_off([partition], error)
                    continue
                await reader.seek(partition, offset)
                self.offsets[partition] = offset
                self.retry_at.pop(partition, None)

    def _drop_unassigned(self, assigned: set[TopicPartition]) -> None:
        for known in (self.offsets, self.retry_at, self.backoffs, self.status.oldest_unhandled_at):
            for partition in known.keys() - assigned:
                del known[partition]
        self.status.assigned = frozenset(assigned)

    def _back_off(self, partitions: Sequence[TopicPartition], error: Exception) -> None:
        """Forgets the partitions' offsets, so that they are loaded again when the retry is due. If the connection broke
        during the commit, only the stored offset shows whether the batch took effect."""
        self._log_retry(error)
        for partition in partitions:
            self.offsets.pop(partition, None)
            self.retry_at[partition] = (
                _monotonic() + self.backoffs.setdefault(partition, Backoff()).next_delay_seconds()
            )

    async def _fetch(self, reader: Reader) -> list[Batch]:
        wait = min([FETCH_WAIT_SECONDS, *(max(due - _monotonic(), 0.01) for due in self.retry_at.values())])
        fetching = asyncio.ensure_future(reader.fetch(max_messages=self.fetch_size, wait_seconds=wait))
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((fetching, stopping), return_when=asyncio.FIRST_COMPLETED)
            return await fetching if fetching.done() else []
        finally:
            fetching.cancel()
            stopping.cancel()
            await asyncio.gather(fetching, stopping, return_exceptions=True)

    # Handling

    async def _handle_poll(self, reader: Reader, batches: Sequence[Batch]) -> None:  # noqa: C901 - a decision for each kind of partition: first, together, alone
        """Handles all partitions in one transaction, which is much cheaper than one each. After a failure, a partition has
        its own transaction until it succeeds, so that its errors do not delay the others."""
        if self.attempts is not None:
            for batch in [batch for batch in batches if batch.partition not in self.attempted_partitions]:
                if not self.stopping.is_set():
                    await self._handle_first_batch(reader, batch, self.attempts)
                batches = [each for each in batches if each is not batch]
        together = [batch for batch in batches if batch.partition not in self.backoffs]
        alone = [batch for batch in batches if batch.partition in self.backoffs]
        if len(together) > 1:
            try:
                await self._apply(together)
            except ConsumerFailed:
                raise
            except Exception as error:
                if is_transient(error):
                    self._back_off([batch.partition for batch in together], error)
                else:
                    log.info("%s: handling %d partitions of %s one by one", self.group, len(together), self.topic)
                    alone += together
            else:
                await self._report_handled(reader, together)
        else:
            alone += together
        for batch in alone:
            if not self.stopping.is_set():
                await self._handle_partition(reader, batch)

    async def _handle_first_batch(self, reader: Reader, batch: Batch, attempts: Attempts) -> None:
        """Handles the first batch of a partition since this process started. Its first message may have crashed the previous
        process; if there are unfinished attempts, the messages are handled one by one."""
        at = self.offsets[batch.partition]
        try:
            if suspect := await attempts.count_attempts(batch.partition) > 0:
                log.warning("%s: an earlier attempt at offset %s of %s did not end", self.group, at, batch.partition)
            else:
                await attempts.begin_attempt(batch.partition)
        except Exception as error:
            return self._back_off([batch.partition], error)
        if suspect:
            async with attempts.suspect_lock:
                await self._handle_partition(reader, batch, counting=attempts)
        else:
            await self._handle_partition(reader, batch)
        if self.offsets.get(batch.partition, at) == at:
            # If the database cannot be reached, the count stays. The next start then handles the messages one by one; after
            # MAX_ATTEMPTS such starts at this offset, the first message becomes a dead letter.
            with suppress(Exception):
                await attempts.end_attempt(batch.partition)
        self.attempted_partitions.add(batch.partition)
        return None

    async def _handle_partition(self, reader: Reader, batch: Batch, *, counting: Attempts | None = None) -> None:
        try:
            await (self._apply_or_bury(batch) if counting is None else self._handle_singly(batch, counting))
        except ConsumerFailed:
            raise
        except Fenced:
            log.info("%s: another member moved the offset of %s", self.group, batch.partition)
            del self.offsets[batch.partition]
        except Exception as error:
            self._back_off([batch.partition], error)
        else:
            await self._report_handled(reader, [batch])

    async def _report_handled(self, reader: Reader, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.backoffs.pop(batch.partition, None)
            await reader.report_offset(batch.partition, batch.next_offset)

    async def _apply_or_bury(self, batch: Batch) -> None:
        try:
            return await self._apply([batch])
        except Exception as error:
            if not is_permanent(error):
                raise
            log.warning(
                "%s: a batch of %s failed, trying message by message", self.group, batch.partition, exc_info=True
            )
        await self._handle_singly(batch)

    async def _handle_singly(self, batch: Batch, counting: Attempts | None = None) -> None:
        for message, following in zip(batch.messages, [*batch.messages[1:], None], strict=True):
            next_offset = following.offset if following else batch.next_offset
            try:
                if counting is not None:
                    await self._begin_attempt_or_raise(batch.partition, counting)
                await self._apply([Batch(batch.partition, [message], next_offset)])
            except Exception as error:
                if not is_permanent(error):
                    raise
                await self._bury(message, error, next_offset)

    async def _begin_attempt_or_raise(self, partition: TopicPartition, attempts: Attempts) -> None:
        begun = await attempts.count_attempts(partition)
        if begun >= MAX_ATTEMPTS:
            raise ProcessCrashed(f"begun {begun} times after a start, and the process was gone before it ended")
        await attempts.begin_attempt(partition)

    async def _apply(self, batches: Sequence[Batch]) -> None:
        messages = [message for batch in batches for message in batch.messages]
        steps = [
            OffsetStep(self.group, batch.partition, self.offsets[batch.partition], batch.next_offset)
            for batch in batches
        ]
        await self.handler.apply(messages, steps)
        for tenant, count in Counter(map(tenant_of, messages)).items():
            self.failures.record(tenant, buried=False, count=count)
        self.status.handled += len(messages)
        for batch, step in zip(batches, steps, strict=True):
            self._advance(step, batch.messages[-1].at if batch.messages else None)
        if self.deliver_twice:
            try:
                await self.handler.apply(messages, [replace(step, expected=step.next) for step in steps])
            except Exception as error:
                if is_permanent(error):
                    raise ConsumerFailed(f"Delivered twice, {describe_error(error)}") from error
                raise

    async def _bury(self, message: Message, error: Exception, next_offset: int) -> None:
        partition = TopicPartition(message.topic, message.partition)
        if not getattr(error, "caused_by_content", False):
            self.failures.check_limits(message, error)
        step = OffsetStep(self.group, partition, self.offsets[partition], next_offset)
        await self.handler.bury(message, error, step)
        log.error("%s: buried offset %s of %s", self.group, message.offset, partition, exc_info=error)
        self.failures.record(tenant_of(message), buried=True)
        self.status.buried += 1
        self._advance(step, message.at)

    # Status

    def _advance(self, step: OffsetStep, at: datetime | None) -> None:
        self.offsets[step.partition] = step.next
        if at:
            self.status.oldest_unhandled_at[step.partition] = at

    def _update_lag(self, batches: Sequence[Batch]) -> None:
        behind = self.status.oldest_unhandled_at
        for batch in batches:
            if batch.messages:
                behind.setdefault(batch.partition, batch.messages[0].at)
        if sum(len(batch.messages) for batch in batches) < self.fetch_size:
            for partition in behind.keys() - self.retry_at.keys() - {batch.partition for batch in batches}:
                del behind[partition]

    def _log_retry(self, error: Exception) -> None:
        self.status.last_transient_error = describe_error(error)
        log.warning("%s: trying again after %s", self.group, describe_error(error), exc_info=not is_transient(error))


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
