"""What kinds of records there are."""

from typing import Annotated

from contracts.envelope import known

from ingest.model.amazon_connect import EVENTS

RecordKind = Annotated[
    str, known("contact", "analysis", "agent_event", "body", *sorted(f"event/{each}" for each in EVENTS))
]
"""`body` stands for a whole body, of which nothing more was read."""
