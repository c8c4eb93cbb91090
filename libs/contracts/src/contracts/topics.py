"""Every topic, declared once: its one writer, its readers, how it is kept."""

from dataclasses import dataclass
from typing import Annotated
from zlib import crc32

from contracts.envelope import known

ALL_SERVICES = ("identity", "ingest", "kpi-engine", "training", "gamification", "forms", "notification")
ServiceName = Annotated[str, known(*ALL_SERVICES)]


@dataclass(frozen=True)
class Topic:
    """`retention_days` None keeps for ever; `compacted` keeps the newest message of each key."""

    name: str
    writer: str
    readers: tuple[str, ...]
    partitions: int = 6
    compacted: bool = False
    retention_days: int | None = 14


# Besides identity, which keeps them for the export: services whose own things name those of the section, and those whose
# things the section names.
_SECTION_READERS = {
    "ingest": ("kpi-engine",),
    "forms": ("kpi-engine", "notification"),
    "kpi-engine": ("ingest", "training", "gamification", "forms", "notification"),
    "training": ("kpi-engine", "gamification", "notification"),
    "gamification": ("kpi-engine", "training", "notification"),
    "notification": ("kpi-engine", "training", "gamification", "forms"),
}


def _sections(service: str) -> Topic:
    readers = ("identity", *_SECTION_READERS.get(service, ()))
    return Topic(f"{service}.sections", service, readers, partitions=1, compacted=True, retention_days=None)


def _audit(service: str) -> Topic:
    # Longer than other news: what identity has not kept yet must outlive a long outage of it.
    return Topic(f"{service}.audit", service, ("identity",), partitions=1, retention_days=90)


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("directory", "identity", ALL_SERVICES, partitions=1, compacted=True, retention_days=None),
        Topic("blueprints", "identity", ALL_SERVICES[1:], partitions=1, retention_days=None),
        Topic("legs", "ingest", ("kpi-engine",)),
        Topic("legs.history", "ingest", ("kpi-engine",)),
        Topic("agent-states", "ingest", ("kpi-engine",)),
        Topic("scores", "kpi-engine", ("gamification",)),
        Topic("bands", "kpi-engine", ("training", "gamification", "notification")),
        Topic("assignments", "training", ("gamification", "notification")),
        Topic("awards", "gamification", ("notification",)),
        Topic("submissions", "forms", ("kpi-engine", "notification")),
        *(_sections(service) for service in ALL_SERVICES[1:]),
        *(_audit(service) for service in ALL_SERVICES),
    )
}


def partition_of(key: str, partitions: int) -> int:
    """Stable across processes and versions."""
    return crc32(key.encode()) % partitions
