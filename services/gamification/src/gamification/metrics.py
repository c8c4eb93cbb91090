"""Gamification's own metrics: points in the ledger."""

from collections.abc import Sequence
from typing import Final

from contracts.awards import PointsGranted, PointsReversed
from prometheus_client import Counter
from pydantic_core import from_json
from servicekit.metrics import PublishedEvent

POINTS: Final = Counter("uplift_points", "Points granted and reversed", ["change"])
METRICS: Final = (POINTS,)

_COUNTERS = {PointsGranted.type: POINTS.labels("granted"), PointsReversed.type: POINTS.labels("reversed")}


def count_published(events: Sequence[PublishedEvent]) -> None:
    """Adds up the points that these events grant and reverse."""
    for event in events:
        counter = _COUNTERS.get(event.type)
        if counter is not None and event.value:
            counter.inc(abs(from_json(event.value)["points"]))
