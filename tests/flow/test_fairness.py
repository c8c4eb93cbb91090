"""A tenant's live calls are counted soon, however much another tenant has sent."""

import pytest

from tests.flow.suite import Embedded
from tests.load.fairness import live_waits, records_waiting, send_backlog, set_up

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

LEGS = 6000
CALLS = 4
SLACK_SECONDS = 1.5  # two busy cores: everything takes turns with the counting of the backlog


def test_a_live_call_does_not_wait_for_anothers_backlog(started: Embedded) -> None:
    set_up(started, agents=60)
    idle = live_waits(started, CALLS, first=0)
    send_backlog(started, LEGS, agents=60)
    loaded = live_waits(started, CALLS, first=CALLS)
    assert records_waiting(started) > 0, "the backlog was gone before the last call was counted: send more"
    assert loaded.median <= 2 * idle.median + SLACK_SECONDS, f"idle {idle}; loaded {loaded}"
