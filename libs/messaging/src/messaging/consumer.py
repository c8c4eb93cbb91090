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

from messaging.attempts import MOST_ATTEMPTS, Attempts, EndedProcess
from messaging.broker import Batch, Broker, Message, Reader, TopicPartition
from messaging.effects import Effects, Fenced, Step
from messaging.retry import Backoff, is_transient, pause

__all__ = ["ConsumerStatus", "Effects", "Fenced", "Limits", "Step", "consume"]

log = logging.getLogger(__name__)

FETCH_WAIT_SECONDS = 1.0
STALLED_WAIT_SECONDS = 0.25
PACE_SECONDS = 0.1
ROUND_SECONDS = 0.25
SMALLEST_SHARE = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """When a consumer stops rather than file a whole topic away: when more than `ratio` of the messages that it
    remembers, and at least `least` of them, would be buried. Of a tenant it remembers the last `of_tenant`, which are
    fewer than `least`: however many of one tenant's fail, it takes another's to tell that it is the reader that is
    broken, and nobody waits for what one tenant did. Of messages that name no tenant it remembers the last `window`, and
    as many tenants."""

    window: int = 100
    ratio: float = 0.5
    least: int = 20
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
    last_progress: datetime | None = None
    last_round: datetime | None = None
    """When the loop last went round, with news or without, also while broker or database are away. One that is long past
    means that a batch hangs, or the loop does: for a watchdog."""
    assigned: frozenset[TopicPartition] = frozenset()
    behind: dict[TopicPartition, datetime] = field(default_factory=dict[TopicPartition, datetime])
    """By partition that lies behind: when the broker took in the message that it stands at."""

    def lag_seconds(self, now: datetime) -> float:
        """Age of the oldest message known to wait; 0 when none does."""
        return max([(now - at).total_seconds() for at in self.behind.values()] + [0.0])


async def consume(
    broker: Broker,
    group: str,
    topic: str,
    effects: Effects,
    *,
    stopping: asyncio.Event,
    status: ConsumerStatus,
    max_messages: int = 500,
    limits: Limits = Limits(),
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
    except _GiveUp as error:
        status.state, status.error = "failed", str(error)
        log.error("%s stops reading %s: %s", group, topic, error)
    finally:
        if status.state == "running":
            status.state = "stopped"
        status.assigned = frozenset()


class _GiveUp(Exception):
    """The consumer must not go on without a person looking at it."""


@dataclass(slots=True)
class _Consumer:
    broker: Broker
    group: str
    topic: str
    effects: Effects
    stopping: asyncio.Event
    status: ConsumerStatus
    max_messages: int
    limits: Limits
    deliver_twice: bool
    attempts: Attempts | None
    # A partition is in one of the two: it stands at its stored offset, or waits until a time to read that again.
    next: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    due: dict[TopicPartition, float] = field(default_factory=dict[TopicPartition, float])
    backoffs: dict[TopicPartition, Backoff] = field(default_factory=dict[TopicPartition, Backoff])
    recent: OrderedDict[str, deque[bool]] = field(default_factory=OrderedDict[str, deque[bool]])
    """By tenant, those heard last at the end: of each of its last messages, whether it was buried."""
    proven: set[TopicPartition] = field(default_factory=set[TopicPartition])
    """Partitions in which something that this process began has come to an end."""
    size: int = 0
    """Messages of a round at most: as many as take no longer than a round should, for whoever comes meanwhile waits."""

    async def run(self) -> None:
        self.size = self.max_messages
        backoff = Backoff()
        while not self.stopping.is_set():
            self.status.last_round = datetime.now(UTC)
            try:
                async with self.broker.join(self.group, [self.topic]) as reader:
                    while not self.stopping.is_set():
                        await self._round(reader)
                        backoff.reset()
            except _GiveUp:
                raise
            except Exception as error:
                self._say(error)
                self._keep(set())
                await pause(backoff.next(), self.stopping)

    async def _round(self, reader: Reader) -> None:
        self.status.last_round = datetime.now(UTC)
        await self._take_up(reader)
        batches = await self._fetch(reader)
        began = _monotonic()
        self._measure(batches)
        placed = [batch for batch in batches if batch.source in self.next]
        if placed:
            count = sum(len(batch.messages) for batch in batches)
            full = count >= self.size
            await self._handle(reader, placed)
            self._size(count, _monotonic() - began)
            if not full:
                # What comes first goes at once, what comes behind it together: a round costs much, a message little.
                await pause(began + PACE_SECONDS - _monotonic(), self.stopping)
        if batches and not placed:
            # Only stalled partitions have news: reading on from them is no use before they are due.
            await pause(STALLED_WAIT_SECONDS, self.stopping)

    def _size(self, count: int, seconds: float) -> None:
        """The next round is as large as this one's speed allows, and at most twice as large."""
        fitting = int(count * ROUND_SECONDS / max(seconds, 0.001))
        if seconds > ROUND_SECONDS or count >= self.size:
            self.size = max(min(fitting, 2 * self.size, self.max_messages), self.max_messages // SMALLEST_SHARE, 1)

    # Where to read

    async def _take_up(self, reader: Reader) -> None:
        assigned = reader.assignment()
        self._keep(assigned)
        now = _monotonic()
        for source in assigned:
            if source not in self.next and self.due.get(source, now) <= now:
                try:
                    offset = await self.effects.next_offset(self.group, source)
                except Exception as error:
                    self._stall([source], error)
                    continue
                await reader.seek(source, offset)
                self.next[source] = offset
                self.due.pop(source, None)

    def _keep(self, assigned: set[TopicPartition]) -> None:
        for known in (self.next, self.due, self.backoffs, self.status.behind):
            for source in known.keys() - assigned:
                del known[source]
        self.status.assigned = frozenset(assigned)

    def _stall(self, sources: Sequence[TopicPartition], error: Exception) -> None:
        """Whether a batch was stored is not certain when the connection broke during the commit: when the partition is
        due again, the stored offset tells."""
        self._say(error)
        for source in sources:
            self.next.pop(source, None)
            self.due[source] = _monotonic() + self.backoffs.setdefault(source, Backoff()).next()

    async def _fetch(self, reader: Reader) -> list[Batch]:
        wait = min([FETCH_WAIT_SECONDS, *(max(due - _monotonic(), 0.01) for due in self.due.values())])
        fetching = asyncio.ensure_future(reader.fetch(max_messages=self.size, wait_seconds=wait))
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
            for batch in [batch for batch in batches if batch.source not in self.proven]:
                if not self.stopping.is_set():
                    await self._handle_first(reader, batch, self.attempts)
                batches = [each for each in batches if each is not batch]
        together = [batch for batch in batches if batch.source not in self.backoffs]
        alone = [batch for batch in batches if batch.source in self.backoffs]
        if len(together) > 1:
            try:
                await self._apply(together)
            except _GiveUp:
                raise
            except Exception as error:
                if is_transient(error):
                    self._stall([batch.source for batch in together], error)
                else:
                    log.info("%s: %d partitions of %s go one by one", self.group, len(together), self.topic)
                    alone += together
            else:
                await self._handled(reader, together)
        else:
            alone += together
        for batch in alone:
            if not self.stopping.is_set():
                await self._handle_one(reader, batch)

    async def _handle_first(self, reader: Reader, batch: Batch, attempts: Attempts) -> None:
        """What this process begins with may be what ended the one before."""
        at = self.next[batch.source]
        try:
            if suspect := await attempts.count(batch.source) > 0:
                log.warning(
                    "%s: what stands at %s of %s was begun before and did not end", self.group, at, batch.source
                )
            else:
                await attempts.begin(batch.source)
        except Exception as error:
            return self._stall([batch.source], error)
        if suspect:
            async with attempts.alone:
                await self._handle_one(reader, batch, counting=attempts)
        else:
            await self._handle_one(reader, batch)
        if self.next.get(batch.source, at) == at:
            with suppress(Exception):  # the database is away: at worst it is handled with care after the next start
                await attempts.end(batch.source)
        self.proven.add(batch.source)
        return None

    async def _handle_one(self, reader: Reader, batch: Batch, *, counting: Attempts | None = None) -> None:
        try:
            await (self._apply_or_bury(batch) if counting is None else self._one_by_one(batch, counting))
        except _GiveUp:
            raise
        except Fenced:
            log.info("%s: the offset of %s was moved by somebody else", self.group, batch.source)
            del self.next[batch.source]
        except Exception as error:
            self._stall([batch.source], error)
        else:
            await self._handled(reader, [batch])

    async def _handled(self, reader: Reader, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.backoffs.pop(batch.source, None)
            await reader.committed(batch.source, batch.next_offset)
        if not self.due:
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
        await self._one_by_one(batch)

    async def _one_by_one(self, batch: Batch, counting: Attempts | None = None) -> None:
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
        begun = await attempts.count(source)
        if begun >= MOST_ATTEMPTS:
            raise EndedProcess(f"begun {begun} times after a start, and the process was gone before it ended")
        await attempts.begin(source)

    async def _apply(self, batches: Sequence[Batch]) -> None:
        messages = [message for batch in batches for message in batch.messages]
        steps = [Step(self.group, batch.source, self.next[batch.source], batch.next_offset) for batch in batches]
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
                    raise _GiveUp(f"Delivered twice, {_words(error)}") from error
                raise

    async def _bury(self, message: Message, error: Exception, next_offset: int) -> None:
        source = TopicPartition(message.topic, message.partition)
        if not getattr(error, "of_content", False):
            self._refuse_to_file_all_away(message, error)
        step = Step(self.group, source, self.next[source], next_offset)
        await self.effects.bury(message, error, step)
        log.error("%s: buried offset %s of %s", self.group, message.offset, source, exc_info=error)
        self._remember(_tenant(message), buried=True)
        self.status.buried += 1
        self._advance(step, message.at)

    def _refuse_to_file_all_away(self, message: Message, error: Exception) -> None:
        of = {**self.recent, (tenant := _tenant(message)): self._with(tenant, buried=True)}
        buried = sum(sum(each) for each in of.values())
        known = sum(map(len, of.values()))
        if buried >= self.limits.least and buried > self.limits.ratio * known:
            raise _GiveUp(
                f"{buried} of the last {known} messages failed, the last one (offset {message.offset} of"
                f" {message.topic}/{message.partition}) with {_words(error)}"
            ) from error

    def _with(self, tenant: str, *, buried: bool, count: int = 1) -> deque[bool]:
        """What is remembered of the tenant after `count` messages more."""
        most = self.limits.of_tenant if tenant else self.limits.window
        return deque([*self.recent.get(tenant, ()), *[buried] * min(count, most)], maxlen=most)

    def _remember(self, tenant: str, *, buried: bool, count: int = 1) -> None:
        self.recent[tenant] = self._with(tenant, buried=buried, count=count)
        self.recent.move_to_end(tenant)
        if len(self.recent) > self.limits.window:
            self.recent.popitem(last=False)

    # What to show

    def _advance(self, step: Step, at: datetime | None) -> None:
        self.next[step.source] = step.next
        self.status.last_progress = datetime.now(UTC)
        if at:
            self.status.behind[step.source] = at

    def _measure(self, batches: Sequence[Batch]) -> None:
        behind = self.status.behind
        for batch in batches:
            if batch.messages:
                behind.setdefault(batch.source, batch.messages[0].at)
        if sum(len(batch.messages) for batch in batches) < self.size:
            for source in behind.keys() - self.due.keys() - {batch.source for batch in batches}:
                del behind[source]

    def _say(self, error: Exception) -> None:
        self.status.retrying = _words(error)
        log.warning("%s: trying again after %s", self.group, _words(error), exc_info=not is_transient(error))


def _is_poison(error: Exception) -> bool:
    return not isinstance(error, Fenced | _GiveUp) and not is_transient(error)


def _tenant(message: Message) -> str:
    return message.headers.get("ce_tenant", "")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
