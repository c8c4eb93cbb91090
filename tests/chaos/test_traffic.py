"""What other requests feel of a replacement, of an overload and of slow clients."""

import pytest

from tests.chaos.traffic import overload, run_rolling_restart, slow_clients
from tests.flow.stack import StackSuite

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def test_no_request_fails_while_replicas_are_replaced(on_stack: StackSuite) -> None:
    seen = run_rolling_restart(on_stack, "rolling", requests=1_000)
    print(seen.line())
    assert set(seen.answers) == {"200"}
    assert seen.figures["replaced"] >= 2


def test_twice_the_capacity_is_served_or_refused(on_stack: StackSuite) -> None:
    seen = overload(on_stack, "overload", seconds=8, calm=4)
    print(seen.line())
    assert set(seen.answers) <= {"200", "429", "503"}
    assert seen.figures["goodput of capacity"] >= 0.5, "of a measurement this short; `make chaos` shows 0.8"
    on_stack.wait_until_idle(seconds=200)


def test_slow_clients_harm_nobody(on_stack: StackSuite) -> None:
    seen = slow_clients(on_stack, "slow", idle=500, seconds=5)
    print(seen.line())
    assert set(seen.answers) == {"200"}
