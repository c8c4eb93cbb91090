"""In a shift Karpenter takes no node away on which pods run."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from contracts import ALL_SERVICES, TOPICS
from scaling import Schedule, read_schedule
from scaling.floors import is_open

from tests.architecture.files import ROOT
from tests.k8s.conftest import K8S, Build

FIRST = date(2026, 11, 30)
DAYS = 366
STEP_MINUTES = 15
WORDS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?")

Span = tuple[datetime, datetime]


def read_shifts(environment: str = "prod") -> Schedule:
    most = max(topic.partitions for topic in TOPICS.values())
    partitions: dict[str, int] = dict.fromkeys(ALL_SERVICES, most)
    return read_schedule(
        (ROOT / f"charts/uplift/shifts/{environment}.yaml").read_text(), partitions=partitions, years_from=FIRST
    )


def list_spans(budget: dict[str, Any], first: date, days: int) -> list[Span]:
    """When a budget holds. Its schedule names a minute, an hour and weekdays, in UTC; Sunday is 0."""
    minute, hour, day, month, weekdays = budget["schedule"].split()
    assert (day, month) == ("*", "*")
    low, _, high = weekdays.partition("-")
    allowed = range(int(low), int(high or low) + 1)
    hours, minutes = WORDS.fullmatch(budget["duration"]).groups()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    length = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    starts = (
        datetime(each.year, each.month, each.day, int(hour), int(minute), tzinfo=UTC)
        for each in (first + timedelta(days=number) for number in range(-2, days))
        if each.isoweekday() % 7 in allowed
    )
    return [(start, start + length) for start in starts]


def find_uncovered(shifts: Schedule, spans: list[Span], days: int = DAYS) -> list[datetime]:
    """Instants within a shift, or an hour beside one, at which no budget holds."""
    begin = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    windows = [(role, window) for role in shifts.roles for window in role.windows]
    hour = timedelta(hours=1)
    found: list[datetime] = []
    for step in range(days * 24 * 60 // STEP_MINUTES):
        at = begin + timedelta(minutes=step * STEP_MINUTES)
        if any(start <= at - hour and at + hour <= end for start, end in spans):
            continue
        if any(is_open(role, window, at) for role, window in windows):
            found.append(at)
    return found


def read_budgets(build: Build) -> list[dict[str, Any]]:
    return build(K8S / "nodes").of_kind("NodePool")["uplift"]["spec"]["disruption"]["budgets"]


@pytest.mark.cluster
@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_no_node_with_pods_goes_in_a_shift(environment: str, build: Build) -> None:
    (held, always) = read_budgets(build)
    assert held["nodes"] == "0"
    assert set(held["reasons"]) == {"Underutilized", "Drifted"}
    assert "schedule" not in always
    assert find_uncovered(read_shifts(environment), list_spans(held, FIRST, DAYS)) == []


@pytest.mark.cluster
def test_nodes_go_at_night(build: Build) -> None:
    (held, _) = read_budgets(build)
    spans = list_spans(held, FIRST, 7)
    week = timedelta(days=7)
    assert sum((end - start for start, end in spans if start.date() >= FIRST), timedelta()) < week * 0.6


@pytest.mark.cluster
def test_no_node_expires(build: Build) -> None:
    """An expired node is replaced whatever the budgets say."""
    for pool in build(K8S / "nodes").of_kind("NodePool").values():
        assert pool["spec"]["template"]["spec"]["expireAfter"] == "Never"


def test_a_window_that_is_too_short_is_found() -> None:
    late = {"schedule": "15 1 * * 0-5", "duration": "12h"}
    found = find_uncovered(read_shifts(), list_spans(late, FIRST, 3), days=2)
    assert datetime(2026, 11, 30, 0, 30, tzinfo=UTC) in found
