"""What the services agree on: event types, topics, the envelope, ids. Importing the package registers every event type."""

from contracts import assignments, audit, awards, blueprints, directory, legs, scores, submissions
from contracts.envelope import AgentEvent, Attributes, Event, Mode, type_registry
from contracts.ids import derived_id, new_id
from contracts.topics import ALL_SERVICES, TOPICS, Topic, partition_of

__all__ = [
    "ALL_SERVICES",
    "TOPICS",
    "AgentEvent",
    "Attributes",
    "Event",
    "Mode",
    "Topic",
    "assignments",
    "audit",
    "awards",
    "blueprints",
    "derived_id",
    "directory",
    "legs",
    "new_id",
    "partition_of",
    "scores",
    "submissions",
    "type_registry",
]
