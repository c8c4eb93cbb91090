"""CloudEvents 1.0 in binary mode: the attributes are `ce_*` headers, the body is JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.ids import new_id

type_registry: dict[str, type["Event"]] = {}
"""Every event class by its type."""

Mode = Literal["live", "history"]


def known(*values: str) -> Any:
    """A field whose schema lists these values. They are documented and not validated, so that a reader accepts a value
    which a newer writer has added."""
    return Field(json_schema_extra={"enum": list(values)})


ReasonCode = Annotated[
    str,
    known(
        "corrected_call", "new_kpi_version", "other_target", "by_hand", "band_left", "stayed_no_longer",
        "band_corrected", "score_corrected",
    ),
]  # fmt: skip
"""Why something was taken back; a reader has a sentence for each code."""

ReasonValues = dict[str, str | dict[str, str] | None]
"""The values for the placeholders of a reason's sentence: windows, values with their unit, titles by language."""


class Event(BaseModel):
    """The body of an event. A subclass sets `type` (noun.past), `topic` and an `example`, and defines `key`.

    Readers ignore fields that they do not know, so an optional field may be added at any time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str] = ""
    topic: ClassVar[str] = ""
    example: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.type:
            type_registry[cls.type] = cls

    def key(self, tenant: str) -> str:
        """The partition key of the event in this tenant. Events with the same key stay in order."""
        raise NotImplementedError

    def target_topic(self) -> str:
        """The topic that this event is published to; `topic` unless the type is spread over several."""
        return self.topic

    def encode(self) -> bytes:
        """The body of the message: JSON in UTF-8."""
        return self.model_dump_json().encode()


class AgentEvent(Event):
    """An event about one agent. Its key is the agent, so that one agent's events stay in order."""

    agent_id: UUID

    def key(self, tenant: str) -> str:
        """`<tenant>|<agent_id>`."""
        return f"{tenant}|{self.agent_id}"


@dataclass(frozen=True, slots=True)
class Attributes:
    """The CloudEvents attributes of a message, with extensions.

    `tenant`, `correlationid`, `causationid` and `version` are our own; `version` is set on a tombstone, and is that of
    the state which it erases. `traceparent` and `tracestate` are CloudEvents' extension for distributed tracing: the span
    in which the event was made.
    """

    id: UUID
    type: str
    source: str
    time: datetime
    tenant: str
    correlationid: UUID
    causationid: UUID | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    version: int | None = None

    @classmethod
    def create(cls, type: str, *, source: str, tenant: str, time: datetime, cause: "Attributes | None" = None) -> Self:
        """Attributes of a new event of service `source`, with a new id. `time` has a zone and is stored in UTC. With a
        `cause` the event joins its correlation; without one it begins a new one."""
        event_id = new_id()
        return cls(
            id=event_id,
            type=type,
            source=f"uplift/{source}",
            time=time.astimezone(UTC),
            tenant=tenant,
            correlationid=cause.correlationid if cause else event_id,
            causationid=cause.id if cause else None,
        )

    def to_headers(self) -> dict[str, str]:
        """The message's headers; attributes that are None have none."""
        headers = {
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": str(self.id),
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_time": self.time.isoformat(),
            "ce_tenant": self.tenant,
            "ce_correlationid": str(self.correlationid),
        }
        if self.causationid:
            headers["ce_causationid"] = str(self.causationid)
        if self.traceparent:
            headers["ce_traceparent"] = self.traceparent
            if self.tracestate:
                headers["ce_tracestate"] = self.tracestate
        if self.version is not None:
            headers["ce_version"] = str(self.version)
        return headers

    @classmethod
    def from_headers(cls, headers: dict[str, str]) -> Self:
        """The attributes in a message's headers. Raises pydantic.ValidationError when one is missing or malformed."""
        try:
            # Parsed by hand, because this runs for every message. Where it fails, pydantic makes the error's text.
            cause, version = headers.get("ce_causationid"), headers.get("ce_version")
            time = datetime.fromisoformat(headers["ce_time"])
            if time.tzinfo is None:
                raise ValueError("ce_time has no zone")
            return cls(
                id=UUID(headers["ce_id"]),
                type=headers["ce_type"],
                source=headers["ce_source"],
                time=time,
                tenant=headers["ce_tenant"],
                correlationid=UUID(headers["ce_correlationid"]),
                causationid=UUID(cause) if cause else None,
                traceparent=headers.get("ce_traceparent"),
                tracestate=headers.get("ce_tracestate"),
                version=int(version) if version else None,
            )
        except (KeyError, ValueError):
            attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
            return cls(**_AttributesCheck.model_validate(attributes).model_dump())


class _AttributesCheck(BaseModel):
    id: UUID
    type: str
    source: str
    time: AwareDatetime
    tenant: str
    correlationid: UUID
    causationid: UUID | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    version: int | None = None
