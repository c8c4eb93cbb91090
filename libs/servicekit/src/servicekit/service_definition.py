"""What a service is, and what it is given to build its parts from."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import httpx
from contracts import Attributes, Event, type_registry
from fastapi import APIRouter
from prometheus_client.metrics import MetricWrapperBase
from storage import DocumentStore, Migrations, Session, Sessions

from servicekit.budget import MAX_HANDLING_SECONDS
from servicekit.door.field_docs import FieldDoc
from servicekit.metrics import CountPublished
from servicekit.settings import PlatformSettings
from servicekit.tokens import TokenVerifier

if TYPE_CHECKING:
    from servicekit.blueprints.checking import SectionChecker

Body = TypeVar("Body", bound=Event, covariant=True)


@dataclass(slots=True)
class ReceivedEvent(Generic[Body]):
    """An event as it came in. `raw` None: a tombstone."""

    attributes: Attributes
    key: str
    raw: bytes | None
    _body: Any = None

    @property
    def tenant(self) -> str:
        return self.attributes.tenant

    @property
    def body(self) -> Body:
        """Decoded on first use. Raises pydantic.ValidationError when it is not what its type promises."""
        if self._body is None:
            self._body = type_registry[self.attributes.type].model_validate_json(self.raw or b"null")
        return self._body


@dataclass(frozen=True, slots=True)
class DueItem:
    tenant: str
    kind: str
    ref: str
    at: datetime
    body: dict[str, Any]


EventHandler = Callable[[Session, ReceivedEvent[Any]], Awaitable[None]]
BatchHandler = Callable[[Session, list[ReceivedEvent[Any]]], Awaitable[None]]
DueHandler = Callable[[Session, DueItem], Awaitable[None]]


class Lease(Protocol):
    """Of a due item that a job works at. `now`: the tenant's time when the job began."""

    @property
    def now(self) -> datetime: ...

    def begin(self) -> AbstractAsyncContextManager[Session]:
        """A transaction of the item's tenant, of which a job opens as many as it needs. Raises LeaseLost when the item is
        another worker's, or was moved or called off: then nothing is done, and the job ends."""
        ...


@dataclass(frozen=True)
class Job:
    """A due item's handler that takes long: it works in chunks, each in a transaction of its lease. The item is done when
    it returns. After a crash it is called again, and goes on where its last transaction left off.

    `long` False: one that takes no longer than other items do, and is a job because it calls somebody outside: between its
    transactions and not in one. It has its turn for as long as it works."""

    run: Callable[[Lease, DueItem], Awaitable[None]]
    long: bool = True


@dataclass(frozen=True)
class Subscription:
    """What a service reads: per message by event type, or whole batches. Types without a handler are passed over.

    `batch` gets the events of `types` (none named: all that are known) without tombstones, if there are any; `by_tenant`:
    those of one tenant at a time. `in_turn`: for a service whose readers of several topics change the same rows of an
    agent. A batch first takes the locks of its events' keys, in order, so that two readers never wait for each other in
    a circle. A batch that takes longer than `seconds` goes message by message, and a message that does is filed away.
    """

    topic: str
    handlers: Mapping[type[Event], EventHandler] = field(default_factory=dict[type[Event], EventHandler])
    batch: BatchHandler | None = None
    types: Collection[type[Event]] = ()
    by_tenant: bool = False
    lock_by_key: bool = False
    max_messages: int = 500
    max_seconds: float = MAX_HANDLING_SECONDS


@dataclass
class ServiceContext:
    """What the runner gives a service. `stopping` is set when the process is told to stop."""

    settings: PlatformSettings
    sessions: Sessions
    documents: DocumentStore
    http: httpx.AsyncClient
    verifier: TokenVerifier
    stopping: asyncio.Event


@dataclass(frozen=True)
class ServiceParts:
    """The parts of a service: its doors, and what runs beside them. `words` describe the fields and parameters of its own
    that its OpenAPI document tells of."""

    router: APIRouter
    subscriptions: Sequence[Subscription] = ()
    due_handlers: Mapping[str, DueHandler | Job] = field(default_factory=dict[str, "DueHandler | Job"])
    background: Sequence[Callable[[ServiceContext], Awaitable[None]]] = ()
    state: Any = None
    field_docs: Mapping[str, FieldDoc] = field(default_factory=dict[str, FieldDoc])
    section: "SectionChecker | None" = None
    """How its section of a blueprint is checked, where it has one."""


@dataclass(frozen=True)
class Service:
    """A service as a value: it can run alone or beside the others."""

    name: str
    title: str
    migrations: Migrations
    wire: Callable[[ServiceContext], ServiceParts]
    metrics: Sequence[MetricWrapperBase] = ()
    """Metrics that only this service has."""
    count_published: CountPublished | None = None
    """Called with each batch of events that the relay has delivered, to count them in `metrics`."""

    @property
    def prefix(self) -> str:
        """The path below which its HTTP API is mounted."""
        return f"/api/{self.name}/v1"
