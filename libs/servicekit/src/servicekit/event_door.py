"""The event door: handles a batch of messages in one transaction, together with the reader's new offsets."""

import asyncio
import time
import traceback
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from contracts import Attributes, new_id, type_registry
from contracts.directory import PLATFORM_TENANT, OrgUnitChanged, PersonChanged, SessionEnded, TenantChanged
from messaging.broker import Message, TopicPartition
from messaging.consumer import Fenced, OffsetStep
from messaging.retry import is_transient
from sqlalchemy.dialects.postgresql import insert
from storage import (
    OffsetConflict,
    OffsetUpdate,
    Session,
    Sessions,
    Timeouts,
    begin_attempt,
    count_attempts,
    end_attempt,
    is_valid_tenant_name,
    load_next_offset,
    move_offsets,
)
from storage.tables import dead_letter

from servicekit import directory
from servicekit.budget import run_with_budget
from servicekit.logs import LogContext, log_context
from servicekit.metrics import ReaderMetrics
from servicekit.service_definition import ReceivedEvent, Subscription

if TYPE_CHECKING:
    from servicekit.telemetry import Tracing

_UNTRACED = nullcontext()
_STATES = frozenset({TenantChanged.type, OrgUnitChanged.type, PersonChanged.type, SessionEnded.type})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EventDoor:
    """One service's reader of one topic. Implements the protocols TransactionalHandler and Attempts of the consumer loop."""

    def __init__(self, sessions: Sessions, subscription: Subscription) -> None:
        self._sessions = sessions
        self.subscription = subscription
        self.tracing: Tracing | None = None
        self.suspect_lock = asyncio.Lock()
        self._metrics = ReaderMetrics(sessions.service, subscription.topic)

    async def load_next_offset(self, group: str, partition: TopicPartition) -> int:
        """The offset of the next message that this service has not handled in the partition."""
        return await load_next_offset(self._sessions, partition.topic, partition.partition)

    async def count_attempts(self, partition: TopicPartition) -> int:
        """How many attempts at the partition's next batch began and did not end."""
        return await count_attempts(self._sessions, partition.topic, partition.partition)

    async def begin_attempt(self, partition: TopicPartition) -> None:
        """Records, in a transaction of its own, that an attempt at the partition's next batch begins."""
        await begin_attempt(self._sessions, partition.topic, partition.partition)

    async def end_attempt(self, partition: TopicPartition) -> None:
        """Records that an attempt ended without ending the process."""
        await end_attempt(self._sessions, partition.topic, partition.partition)

    async def apply(self, messages: Sequence[Message], steps: Sequence[OffsetStep]) -> None:
        """Handles the messages and moves the offsets, in one transaction. Raises Fenced when another reader has moved the
        offsets, OverBudget when handling exceeded the subscription's time limit."""
        began = time.perf_counter()
        log_context.set(LogContext(self._sessions.service))
        try:
            received = [parse_message(message) for message in messages]
            with self._start_batch_span(received):
                begin = self._sessions.begin(_tenants(received), now=_latest(received), timeouts=self._timeouts)
                async with begin as session:
                    await self._move(session, steps)
                    await run_with_budget(
                        self._handle_and_await_writes(session, received), seconds=self.subscription.max_seconds
                    )
        except Exception as error:
            # A single message with a permanent error becomes a dead letter and is not retried.
            if not isinstance(error, Fenced) and (len(messages) > 1 or is_transient(error)):
                self._metrics.retried.inc(len(messages))
            raise
        self._metrics.observe_batch([each.attributes.type for each in received], began)

    @property
    def _timeouts(self) -> Timeouts:
        """Database timeouts. A wait for a lock ends early, so that the batch is retried rather than stopped as over budget.
        The statement timeout is longer than the budget: it ends statements whose process has died."""
        seconds = self.subscription.max_seconds
        return Timeouts(lock_seconds=seconds / 4, statement_seconds=seconds * 1.5)

    async def _handle_and_await_writes(self, session: Session, received: Sequence[ReceivedEvent[Any]]) -> None:
        await self.handle(session, received)
        await session.await_writes()

    def _start_batch_span(self, received: Sequence[ReceivedEvent[Any]]) -> AbstractContextManager[None]:
        if self.tracing is None:
            return nullcontext()
        return self.tracing.start_batch_span(self.subscription.topic, [each.attributes for each in received])

    async def bury(self, message: Message, error: Exception, step: OffsetStep) -> None:
        """Stores the complete message with its error as a dead letter and moves the offset, in one transaction. Raises
        Fenced when another reader has moved the offset."""
        tenant = message.headers.get("ce_tenant", "")
        if not is_valid_tenant_name(tenant):
            tenant = PLATFORM_TENANT
        async with self._sessions.begin([tenant], now=datetime.now(UTC)) as session:
            await self._move(session, [step])
            values = {
                "id": new_id(),
                "tenant": tenant,
                "topic": message.topic,
                "partition": message.partition,
                "offset": message.offset,
                "key": _strip_unstorable(message.key),
                "headers": {_strip_unstorable(name): _strip_unstorable(each) for name, each in message.headers.items()},
                "value": message.value,
                "error": _strip_unstorable(f"{type(error).__name__}: {error}"[:4000]),
                "traceback": _strip_unstorable("".join(traceback.format_exception(error))[-16000:]),
            }
            await session.execute(insert(dead_letter).values(values).on_conflict_do_nothing())
            session.after_commit.append(self._metrics.buried.inc)

    async def _move(self, session: Session, steps: Sequence[OffsetStep]) -> None:
        moves = [
            OffsetUpdate(step.partition.topic, step.partition.partition, step.expected, step.next) for step in steps
        ]
        try:
            await move_offsets(session, moves)
        except OffsetConflict as moved:
            raise Fenced(str(moved)) from moved

    async def handle(self, session: Session, received: Sequence[ReceivedEvent[Any]]) -> None:
        """Calls the service's handlers: the batch handler if there is one, else one handler per message."""
        batch = self.subscription.batch
        events = list(received) if batch is None else [each for each in received if self._is_for_batch(each)]
        if not events:
            return
        if self.subscription.lock_by_key:
            await session.lock_keys({each.key for each in events})
        if batch is None:
            return await self._handle_each(session, events)
        if not self.subscription.by_tenant:
            await _set_tenants(session, events)
            session.now = _latest(events)
            return await batch(session, events)
        groups = {group[0].tenant: group for group in _by_tenant(events)}
        async for tenant in iterate_tenants(session, {tenant: _latest(group) for tenant, group in groups.items()}):
            await batch(session, groups[tenant])

    def _is_for_batch(self, each: ReceivedEvent[Any]) -> bool:
        event_type = type_registry.get(each.attributes.type)
        types = self.subscription.types
        return each.raw is not None and event_type is not None and (not types or event_type in types)

    async def _handle_each(self, session: Session, events: Sequence[ReceivedEvent[Any]]) -> None:
        origin = session.origin  # the person who replays a dead letter; not the origin of what the handlers change
        groups = {group[0].tenant: group for group in _by_tenant(events)}
        async for tenant in iterate_tenants(session, {tenant: _latest(group) for tenant, group in groups.items()}):
            for each in groups[tenant]:
                session.now, session.cause, session.origin = each.attributes.time, each.attributes, None
                log_context.set(LogContext(session.service, each.tenant, each.attributes.id))
                with self.tracing.start_message_span(each.attributes) if self.tracing else _UNTRACED:
                    await self._handle_one(session, each)
        session.cause, session.origin = None, origin
        log_context.set(LogContext(session.service))

    async def _handle_one(self, session: Session, each: ReceivedEvent[Any]) -> None:
        if self.subscription.topic == "directory" and not await _copy_directory(session, each):
            return
        event_type = type_registry.get(each.attributes.type)
        handler = self.subscription.handlers.get(event_type) if event_type else None
        if handler is not None and each.raw is not None:
            await handler(session, each)


def parse_message(message: Message) -> ReceivedEvent[Any]:
    """The event of a message; its body is decoded later. Raises pydantic.ValidationError when a CloudEvents attribute is
    missing."""
    return ReceivedEvent(Attributes.from_headers(message.headers), message.key, message.value)


def _strip_unstorable(text: str) -> str:
    """Replaces NUL and lone surrogates, which PostgreSQL cannot store. Without this, a message with one could not become a
    dead letter."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


async def _copy_directory(session: Session, each: ReceivedEvent[Any]) -> bool:
    """Applies a directory event to the service's copy. Returns False when a newer state was applied before; then the
    service's handlers are not called."""
    erased = each.raw is None
    if not erased and each.attributes.type not in _STATES:
        return True
    version = each.attributes.version if erased else each.body.state_version()
    if not await directory.record_version(session, each.key, version, erased=erased):
        return False
    if erased:
        await directory.apply_tombstone(session, each.key, version)
    elif each.attributes.type == TenantChanged.type:
        await directory.apply_tenant(session, each.body)
    elif each.attributes.type == OrgUnitChanged.type:
        await directory.apply_org_unit(session, each.body)
    elif each.attributes.type == PersonChanged.type:
        await directory.apply_person(session, each.body)
    elif each.attributes.type == SessionEnded.type:
        await directory.apply_session_ended(session, each.body)
    return True


async def iterate_tenants(session: Session, times: Mapping[str, datetime]) -> AsyncGenerator[str]:
    """Yields each tenant of `times` (tenant → current time) with the session narrowed to it and set to its time. Restores
    the session's tenants and time at the end. For doors only: an action never changes its session's tenant or time. An action may
    handle each event at its own time, through `as_of`."""
    tenants, now = session.tenants, session.now
    for tenant, at in times.items():
        if session.tenants != (tenant,):
            await session.set_tenants([tenant])
        session.now = at
        yield tenant
    session.now = now
    if session.tenants != tenants:
        await session.set_tenants(tenants)


async def _set_tenants(session: Session, received: Sequence[ReceivedEvent[Any]]) -> None:
    tenants = _tenants(received)
    if set(session.tenants) != tenants:
        await session.set_tenants(tenants)


def _by_tenant(received: Iterable[ReceivedEvent[Any]]) -> list[list[ReceivedEvent[Any]]]:
    """The events grouped by tenant. Order matters only among the events of one tenant."""
    groups: dict[str, list[ReceivedEvent[Any]]] = {}
    for each in received:
        groups.setdefault(each.tenant, []).append(each)
    return [groups[tenant] for tenant in sorted(groups)]


def _tenants(received: Iterable[ReceivedEvent[Any]]) -> set[str]:
    return {each.tenant for each in received}


def _latest(received: Sequence[ReceivedEvent[Any]]) -> datetime:
    return max((each.attributes.time for each in received), default=_EPOCH)
