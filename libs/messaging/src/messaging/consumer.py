"""The consumer loop: every message of a topic takes effect exactly once, or is buried with its error.

The loop knows brokers and offsets, not storage: an `Effects` does the work and moves the stored offsets, both in one
transaction, and refuses when one of them is not where its batch began.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from messaging.attempts import MAX_ATTEMPTS, Attempts, ProcessCrashed
from messaging.broker import Batch, Broker, Message, Reader, TopicPartition
from messaging.handler import Fenced, OffsetStep, TransactionalHandler
from messaging.retry import Backoff, is_transient, wait_for_any

__all__ = ["ConsumerStatus", "FailureLimits", "Fenced", "OffsetStep", "TransactionalHandler", "consume"]

log = logging.getLogger(__name__)

FETCH_WAIT_SECONDS = 1.0
STALLED_WAIT_SECONDS = 0.25
MIN_POLL_SECONDS = 0.1
TARGET_POLL_SECONDS = 0.25
MIN_BATCH_DIVISOR = 10


@dataclass(frozen=True, slots=True)
class FailureLimits:
    """When a consumer stops rather than file a whole topic away: when more than `ratio` of the messages that it
    remembers, and at least `least` of them, would be buried. Of a tenant it remembers the last `of_tenant`, which are
    fewer than `least`: however many of one tenant's fail, it takes another's to tell that it is the reader that is
    broken, and nobody waits for what one tenant did. Of messages that name no tenant it remembers the last `window`, and
    as many tenants."""

    window: int = 100
    ratio: float = 0.5
    min_failures: int = 20
    of_tenant: int = 10


@dataclass(slots=True)
class ConsumerStatus:
    """How a consumer is doing, for readiness and metrics."""

    state: Literal["idle", "running", "stopped", "failed"] = "idle"
    error: str | None = None
    """Why it has failed: it stands still until somebody starts it again."""
    retrying: str | None = None
    """Why it is trying something again at the moment."""
    handled: int = 0
    buried: int = 0
    last_progress_at: datetime | None = None
    last_poll_at: datetime | None = None
    """When the loop last went round, with news or without, also while broker or database are away. One that is long past
    means that a batch hangs, or the loop does: for a watchdog."""
    assigned: frozenset[TopicPartition] = frozenset()
    waiting_since: dict[TopicPartition, datetime] = field(default_factory=dict[TopicPartition, datetime])
    """By partition that lies behind: when the broker took in the message that it stands at."""

    def lag_seconds(self, now: datetime) -> float:
        """Age of the oldest message known to wait; 0 when none does."""
        return max([(now - at).total_seconds() for at in self.waiting_since.values()] + [0.0])


async def consume(
    broker: Broker,
    group: str,
    topic: str,
    effects: TransactionalHandler,
    *,
    stopping: asyncio.Event,
    status: ConsumerStatus,
    max_messages: int = 500,
    limits: FailureLimits = FailureLimits(),
    deliver_twice: bool = False,
    attempts: Attempts | None = None,
) -> None:
    """Reads a topic until `stopping` is set; the batch at hand is finished. Returns early only when a limit is reached, with
    `status.error` set. A failure that may pass is tried again, later and later, while other partitions go
    on; any other is narrowed down to the message that causes it, and that is buried. With `attempts`, so is what ends
    the process.

    `deliver_twice` is for tests: each batch is applied again, after it has taken effect, with a step that stands still.
    An effect without a natural key then happens twice; one that refuses its own repetition fails the consumer.
    """
    status.state, status.error = "running", None
    consumer = _Consumer(broker, group, topic, effects, stopping, status, max_messages, limits, deliver_twice, attempts)
    try:
        await consumer.run()
    except _ConsumerFailed as error:
        status.state, status.error = "failed", str(error)
        log.error("%s stops reading %s: %s", group, topic, error)
    finally:
        if status.state == "running":
            status.state = "stopped"
        status.assigned = frozenset()


class _ConsumerFailed(Exception):
    """The consumer must not go on without a person looking at it."""


@dataclass(slots=True)
class _Consumer:
    broker: Broker
    group: str
    topic: str
    effects: TransactionalHandler
    stopping: asyncio.Event
    status: ConsumerStatus
    max_messages: int
    limits: FailureLimits
    deliver_twice: bool
    attempts: Attempts | None
    # A partition is in one of the two: it stands at its stored offset, or waits until a time to read that again.
    offsets: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    retry_at: dict[TopicPartition, float] = field(default_factory=dict[TopicPartition, float])
    backoffs: dict[TopicPartition, Backoff] = field(default_factory=dict[TopicPartition, Backoff])
    recent_outcomes: OrderedDict[str, deque[bool]] = field(default_factory=OrderedDict[str, deque[bool]])
    """By tenant, those heard last at the end: of each of its last messages, whether it was buried."""
    proven_partitions: set[TopicPartition] = field(default_factory=set[TopicPartition])
    """Partitions in which something that this process began has come to an end."""
    batch_size: int = 0
    """Messages of a round at most: as many as take no longer than a round should, for whoever comes meanwhile waits."""

    async def run(self) -> None:
        self.batch_size = self.max_messages
        backoff = Backoff()
        while not self.stopping.is_set():
            self.status.last_poll_at = datetime.now(UTC)
            try:
                async with self.broker.join(self.group, [self.topic]) as reader:
                    while not self.stopping.is_set():
                        await self._poll_once(reader)
                        backoff.reset()
            except _ConsumerFailed:
                raise
            except Exception as error:
                self._log_retry(error)
                self._drop_unassigned(set())
                await wait_for_any(backoff.next_delay_seconds(), self.stopping)

    async def _poll_once(self, reader: Reader) -> None:
        self.status.last_poll_at = datetime.now(UTC)
        await self._seek_assigned(reader)
        batches = await self._fetch(reader)
        began = _monotonic()
        self._update_lag(batches)
        placed = [batch for batch in batches if batch.source in self.offsets]
        if placed:
            count = sum(len(batch.messages) for batch in batches)
            full = count >= self.batch_size
            await self._handle(reader, placed)
            self._adapt_batch_size(count, _monotonic() - began)
            if not full:
                # What comes first goes at once, what comes behind it together: a round costs much, a message little.
                await wait_for_any(began + MIN_POLL_SECONDS - _monotonic(), self.stopping)
        if batches and not placed:
            # Only stalled partitions have news: reading on from them is no use before they are due.
            await wait_for_any(STALLED_WAIT_SECONDS, self.stopping)

    def _adapt_batch_size(self, count: int, seconds: float) -> None:
        """The next round is as large as this one's speed allows, and at most twice as large."""
        fitting = int(count * TARGET_POLL_SECONDS / max(seconds, 0.001))
        if seconds > TARGET_POLL_SECONDS or count >= self.batch_size:
            self.batch_size = max(
                min(fitting, 2 * self.batch_size, self.max_messages), self.max_messages // MIN_BATCH_DIVISOR, 1
            )

    # Where to read

    async def _seek_assigned(self, reader: Reader) -> None:
        assigned = reader.assignment()
        self._drop_unassigned(assigned)
        now = _monotonic()
        for source in assigned:
            if source not in self.offsets and self.retry_at.get(source, now) <= now:
                try:
                    offset = await self.effects.load_next_offset(self.group, source)
                except Exception as error:
                    self._back_off([source], error)
                    continue
                await reader.seek(source, offset)
                self.offsets[source] = offset
                self.retry_at.pop(source, None)

    def _drop_unassigned(self, assigned: set[TopicPartition]) -> None:
        for known in (self.offsets, self.retry_at, self.backoffs, self.status.waiting_since):
            for source in known.keys() - assigned:
                del known[source]
        self.status.assigned = frozenset(assigned)

    def _back_off(self, sources: Sequence[TopicPartition], error: Exception) -> None:
        """Whether a batch was stored is not certain when the connection broke during the commit: when the partition is
        due again, the stored offset tells."""
        self._log_retry(error)
        for source in sources:
            self.offsets.pop(source, None)
            self.retry_at[source] = _monotonic() + self.backoffs.setdefault(source, Backoff()).next_delay_seconds()

    async def _fetch(self, reader: Reader) -> list[Batch]:
        wait = min([FETCH_WAIT_SECONDS, *(max(due - _monotonic(), 0.01) for due in self.retry_at.values())])
        fetching = asyncio.ensure_future(reader.fetch(max_messages=self.batch_size, wait_seconds=wait))
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((fetching, stopping), return_when=asyncio.FIRST_COMPLETED)
            return await fetching if fetching.done() else []
        finally:
            fetching.cancel()
            stopping.cancel()
            await asyncio.gather(fetching, stopping, return_exceptions=True)

    # What to do with it

    async def _handle(self, reader: Reader, batches: Sequence[Batch]) -> None:
        """All partitions in one transaction: one for each costs several times as much. After a failure each goes by
        itself until it has succeeded, so that none is kept back by another's fault."""
        if self.attempts is not None:
            for batch in [batch for batch in batches if batch.source not in self.proven_partitions]:
                if not self.stopping.is_set():
                    await self._handle_first(reader, batch, self.attempts)
                batches = [each for each in batches if each is not batch]
        together = [batch for batch in batches if batch.source not in self.backoffs]
        alone = [batch for batch in batches if batch.source in self.backoffs]
        if len(together) > 1:
            try:
                await self._apply(together)
            except _ConsumerFailed:
                raise
            except Exception as error:
                if is_transient(error):
                    self._back_off([batch.source for batch in together], error)
                else:
                    log.info("%s: %d partitions of %s go one by one", self.group, len(together), self.topic)
                    alone += together
            else:
                await self._report_handled(reader, together)
        else:
            alone += together
        for batch in alone:
            if not self.stopping.is_set():
                await self._handle_one(reader, batch)

    async def _handle_first(self, reader: Reader, batch: Batch, attempts: Attempts) -> None:
        """What this process begins with may be what ended the one before."""
        at = self.offsets[batch.source]
        try:
            if suspect := await attempts.count_attempts(batch.source) > 0:
                log.warning(
                    "%s: what stands at %s of %s was begun before and did not end", self.group, at, batch.source
                )
            else:
                await attempts.begin_attempt(batch.source)
        except Exception as error:
            return self._back_off([batch.source], error)
        if suspect:
            async with attempts.suspect_lock:
                await self._handle_one(reader, batch, counting=attempts)
        else:
            await self._handle_one(reader, batch)
        if self.offsets.get(batch.source, at) == at:
            with suppress(Exception):  # the database is away: at worst it is handled with care after the next start
                await attempts.end_attempt(batch.source)
        self.proven_partitions.add(batch.source)
        return None

    async def _handle_one(self, reader: Reader, batch: Batch, *, counting: Attempts | None = None) -> None:
        try:
            await (self._apply_or_bury(batch) if counting is None else self._handle_each(batch, counting))
        except _ConsumerFailed:
            raise
        except Fenced:
            log.info("%s: the offset of %s was moved by somebody else", self.group, batch.source)
            del self.offsets[batch.source]
        except Exception as error:
            self._back_off([batch.source], error)
        else:
            await self._report_handled(reader, [batch])

    async def _report_handled(self, reader: Reader, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.backoffs.pop(batch.source, None)
            await reader.report_offset(batch.source, batch.next_offset)
        if not self.retry_at:
            self.status.retrying = None

    async def _apply_or_bury(self, batch: Batch) -> None:
        try:
            return await self._apply([batch])
        except Exception as error:
            if not _is_poison(error):
                raise
            log.warning(
                "%s: a batch of %s failed, trying message by message",
                self.group,
                batch.source,
                exc_info=True,
            )
        await self._handle_each(batch)

    async def _handle_each(self, batch: Batch, counting: Attempts | None = None) -> None:
        for message, following in zip(batch.messages, [*batch.messages[1:], None], strict=True):
            next_offset = following.offset if following else batch.next_offset
            try:
                if counting is not None:
                    await self._count_attempt(batch.source, counting)
                await self._apply([Batch(batch.source, [message], next_offset)])
            except Exception as error:
                if not _is_poison(error):
                    raise
                await self._bury(message, error, next_offset)

    async def _count_attempt(self, source: TopicPartition, attempts: Attempts) -> None:
        begun = await attempts.count_attempts(source)
        if begun >= MAX_ATTEMPTS:
            raise ProcessCrashed(f"begun {begun} times after a start, and the process was gone before it ended")
        await attempts.begin_attempt(source)

    async def _apply(self, batches: Sequence[Batch]) -> None:
        messages = [message for batch in batches for message in batch.messages]
        steps = [
            OffsetStep(self.group, batch.source, self.offsets[batch.source], batch.next_offset) for batch in batches
        ]
        await self.effects.apply(messages, steps)
        for tenant, count in Counter(map(_tenant, messages)).items():
            self._remember(tenant, buried=False, count=count)
        self.status.handled += len(messages)
        for batch, step in zip(batches, steps, strict=True):
            self._advance(step, batch.messages[-1].at if batch.messages else None)
        if self.deliver_twice:
            try:
                await self.effects.apply(messages, [replace(step, expected=step.next) for step in steps])
            except Exception as error:
                if _is_poison(error):
                    raise _ConsumerFailed(f"Delivered twice, {_describe_error(error)}") from error
                raise

    async def _bury(self, message: Message, error: Exception, next_offset: int) -> None:
        source = TopicPartition(message.topic, message.partition)
        if not getattr(error, "of_content", False):
            self._check_failure_limits(message, error)
        step = OffsetStep(self.group, source, self.offsets[source], next_offset)
        await self.effects.bury(message, error, step)
        log.error("%s: buried offset %s of %s", self.group, message.offset, source, exc_info=error)
        self._remember(_tenant(message), buried=True)
        self.status.buried += 1
        self._advance(step, message.at)

    def _check_failure_limits(self, message: Message, error: Exception) -> None:
        of = {**self.recent_outcomes, (tenant := _tenant(message)): self._with(tenant, buried=True)}
        buried = sum(sum(each) for each in of.values())
        known = sum(map(len, of.values()))
        if buried >= self.limits.min_failures and buried > self.limits.ratio * known:
            raise _ConsumerFailed(
                f"{buried} of the last {known} messages failed, the last one (offset {message.offset} of"
                f" {message.topic}/{message.partition}) with {_describe_error(error)}"
            ) from error

    def _with(self, tenant: str, *, buried: bool, count: int = 1) -> deque[bool]:
        """What is remembered of the tenant after `count` messages more."""
        most = self.limits.of_tenant if tenant else self.limits.window
        return deque([*self.recent_outcomes.get(tenant, ()), *[buried] * min(count, most)], maxlen=most)

    def _remember(self, tenant: str, *, buried: bool, count: int = 1) -> None:
        self.recent_outcomes[tenant] = self._with(tenant, buried=buried, count=count)
        self.recent_outcomes.move_to_end(tenant)
        if len(self.recent_outcomes) > self.limits.window:
            self.recent_outcomes.popitem(last=False)

    # What to show

    def _advance(self, step: OffsetStep, at: datetime | None) -> None:
        self.offsets[step.source] = step.next
        self.status.last_progress_at = datetime.now(UTC)
        if at:
            self.status.waiting_since[step.source] = at

    def _update_lag(self, batches: Sequence[Batch]) -> None:
        behind = self.status.waiting_since
        for batch in batches:
            if batch.messages:
                behind.setdefault(batch.source, batch.messages[0].at)
        if sum(len(batch.messages) for batch in batches) < self.batch_size:
            for source in behind.keys() - self.retry_at.keys() - {batch.source for batch in batches}:
                del behind[source]

    def _log_retry(self, error: Exception) -> None:
        self.status.retrying = _describe_error(error)
        log.warning("%s: trying again after %s", self.group, _describe_error(error), exc_info=not is_transient(error))


def _is_poison(error: Exception) -> bool:
    return not isinstance(error, Fenced | _ConsumerFailed) and not is_transient(error)


def _tenant(message: Message) -> str:
    return message.headers.get("ce_tenant", "")


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
