"""Each fault once, small: calls flow, something dies; afterwards everything is as the rules make it, nothing twice."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from contracts import ALL_SERVICES

from tests.chaos.crowd import create_crowd
from tests.chaos.faults import FaultResult, kill_each, rebalance_storm, run_under_fault, stop_for
from tests.chaos.outcome import count_dead_letters
from tests.flow.stack import StackSuite

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
INTERACTIONS = 2_000
SPREAD = 15  # seconds over which the calls come: as long as the killing takes

_numbers = count(1)


@pytest.fixture
def suffers(on_stack: StackSuite) -> Iterator[Callable[[str, Any], FaultResult]]:
    """`suffers(name, disturb)`: a new tenant's calls flow while `disturb` does its worst."""
    buried = count_dead_letters(on_stack)

    def run(name: str, disturb: Any) -> FaultResult:
        told = run_under_fault(
            name, on_stack, f"chaos-{next(_numbers)}", create_crowd(INTERACTIONS), disturb, spread=SPREAD
        )
        print(told.line())
        return told

    yield run
    assert count_dead_letters(on_stack) == buried


def test_undisturbed(suffers: Callable[[str, Any], FaultResult]) -> None:
    assert suffers("nothing", lambda _suite, _met: {}).differences == []


@pytest.mark.parametrize(
    "names",
    [
        [f"{service}.work" for service in ALL_SERVICES],
        [f"{service}.api" for service in ALL_SERVICES] + ["envoy"],
        ["kafka", "mongodb", "postgres"],
    ],
    ids=["readers and relays", "doors", "infrastructure"],
)
def test_each_process_is_killed_in_turn(suffers: Callable[[str, Any], FaultResult], names: list[str]) -> None:
    told = suffers("SIGKILL", kill_each(names, every=0.2))
    assert told.differences == []
    assert told.figures["of these while calls flowed"] >= len(names) / 2


def test_rebalance_storm(suffers: Callable[[str, Any], FaultResult]) -> None:
    told = suffers("rebalance storm", rebalance_storm("kpi-engine", every=2, seconds=12))
    assert told.differences == []
    assert told.figures["killed"] >= 3


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_away_for_a_while(suffers: Callable[[str, Any], FaultResult], name: str) -> None:
    told = suffers(f"{name} away", stop_for(name, 5))
    assert told.differences == []
    assert told.feed.without_retry_after == 0, told.feed.refused
