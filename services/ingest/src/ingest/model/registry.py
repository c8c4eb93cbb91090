"""All connectors, one line each."""

from typing import TYPE_CHECKING, Annotated, Literal

from contracts.envelope import known

from ingest.model import amazon_connect, generic
from ingest.model.connector import Connector

CONNECTORS: dict[str, Connector] = {
    each.vendor: each
    for each in (
        amazon_connect.CONNECTOR,
        generic.CONNECTOR,
    )
}  # fmt: skip
"""Vendor, as the API names it → connector."""

if TYPE_CHECKING:
    Vendor = str
else:
    Vendor = Literal[tuple(CONNECTORS)]

_EVENT_KINDS = sorted({f"event/{event}" for each in CONNECTORS.values() for event in each.events})
RecordKind = Annotated[str, known("contact", "analysis", "agent_event", "body", *_EVENT_KINDS)]
"""`body` stands for a whole body, of which nothing more was read."""
