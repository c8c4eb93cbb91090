"""The definition of a service, its parts, and the context that they are built from."""

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
from servicekit.feature_flags import FeatureFlags
from servicekit.metrics import CountPublished
from servicekit.settings import PlatformSettings
from servicekit.tokens import TokenVerifier

if TYPE_CHECKING:
    from servicekit.blueprints.checking import SectionChecker

Body = TypeVar("Body", bound=Event, covariant=True)


@dataclass(slots=True)
class ReceivedEvent(Generic[Body]):
    """A received event. `raw`: its JSON; None for a tombstone."""

    attributes: Attributes
    key: str
    raw: bytes | None
    _body: Any = None

    @property
    def tenant(self) -> str:
        """The tenant's slug."""
        return self.attributes.tenant

    @property
    def body(self) -> Body:
        """The event's body, decoded on first use. Raises pydantic.ValidationError when it does not fit its type."""
        if self._body is None:
            self._body = type_registry[self.attributes.type].model_validate_json(self.raw or b"null")
        return self._body


@dataclass(frozen=True, slots=True)
class DueItem:
    """Work of a tenant that is due at a time. `kind` selects the handler; `ref` is unique within tenant and kind."""

    tenant: str
    kind: str
    ref: str
    at: datetime
    body: dict[str, Any]


EventHandler = Callable[[Session, ReceivedEvent[Any]], Awaitable[None]]
BatchHandler = Callable[[Session, list[ReceivedEvent[Any]]], Awaitable[None]]
DueHandler = Callable[[Session, DueItem], Awaitable[None]]


class Lease(Protocol):
    """The lease of a due item that a job works on."""

    @property
    def now(self) -> datetime:
        """The tenant's time when the job began."""
        ...

    def begin(self) -> AbstractAsyncContextManager[Session]:
        """A transaction of the item's tenant; a job opens as many as it needs. Raises LeaseLost, before anything is changed,
        when another process holds the item or the item was moved or deleted; then the job must end."""
        ...


@dataclass(frozen=True)
class Job:
    """A due item's handler that uses several transactions, each from its lease. The item is finished when `run` returns.
    After a crash, `run` is called again and must resume after its last committed transaction.

    `long` False: a job that takes no longer than a normal handler, but calls another system between its transactions. It
    uses a normal slot, and holds the item's lock while it runs."""

    run: Callable[[Lease, DueItem], Awaitable[None]]
    long: bool = True


@dataclass(frozen=True)
class Subscription:
    """A topic that a service reads, with a handler per event type or one handler for whole batches. Types without a handler
    are ignored.

    `batch` gets the events of `types` (empty: all known types) without tombstones, if there are any; with `by_tenant`, one
    tenant's events at a time. `lock_by_key`: for a service whose readers of several topics change the same rows of an
    agent. A batch then first locks its events' keys, in sorted order, so that two readers cannot deadlock. A batch that
    takes longer than `max_seconds` is handled again message by message; a message that does becomes a dead letter.
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
    """What the runner provides to a service. `stopping` is set when the process begins to shut down."""

    settings: PlatformSettings
    sessions: Sessions
    documents: DocumentStore
    http: httpx.AsyncClient
    verifier: TokenVerifier
    stopping: asyncio.Event
    flags: FeatureFlags


@dataclass(frozen=True)
class ServiceParts:
    """The parts of a service: its HTTP routes, subscriptions, due item handlers (kind → handler) and background loops.
    `state` is available to its routes as `app.state.service`. `field_docs` describe the service's own fields and
    parameters in its OpenAPI document."""

    router: APIRouter
    subscriptions: Sequence[Subscription] = ()
    due_handlers: Mapping[str, DueHandler | Job] = field(default_factory=dict[str, "DueHandler | Job"])
    background: Sequence[Callable[[ServiceContext], Awaitable[None]]] = ()
    state: Any = None
    field_docs: Mapping[str, FieldDoc] = field(default_factory=dict[str, FieldDoc])
    section: "SectionChecker | None" = None
    """Checks the service's section of a blueprint; None for a service without one."""


@dataclass(frozen=True)
class Service:
    """The definition of a service. It can run in its own process or together with others."""

    name: str
    title: str
    migrations: Migrations
    wire: Callable[[ServiceContext], ServiceParts]
    metrics: Sequence[MetricWrapperBase] = ()
    """Metrics that only this service has."""
    count_published: CountPublished | None = None
    """Counts, in `metrics`, each batch of events that the relay has delivered."""

    @property
    def prefix(self) -> str:
        """The path at which its HTTP API is mounted."""
        return f"/api/{self.name}/v1"
