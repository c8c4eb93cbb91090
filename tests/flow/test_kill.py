"""SIGKILL at random moments while records flow: afterwards everything is as if nothing had happened."""

import random
import threading
import time
from collections.abc import Callable

import pytest

from tests.flow.steps import send_until_taken, set_up_tenant, state_of
from tests.flow.suite import Embedded, Suite

DAYS = 8
KILLS = 4


def feed(suite: Suite) -> None:
    for day in range(DAYS):
        while not send_until_taken(suite, "t1", day):
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_killed_and_undisturbed_end_alike(new_suite: Callable[[str], Embedded]) -> None:
    undisturbed = new_suite("undisturbed")
    undisturbed.start("--no-demo")
    undisturbed.platform_password()
    set_up_tenant(undisturbed, "t1")
    for day in range(DAYS):
        assert send_until_taken(undisturbed, "t1", day)
    undisturbed.settle()
    expected = state_of(undisturbed, "t1")
    undisturbed.stop()
    assert expected["points"]
    assert expected["assignments"]

    killed = new_suite("killed")
    killed.start("--no-demo")
    killed.platform_password()
    set_up_tenant(killed, "t1")
    killed.token("boss")
    feeding = threading.Thread(target=feed, args=(killed,))
    feeding.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.2))
        killed.kill()
        killed.start("--no-demo")
    feeding.join(120)
    assert not feeding.is_alive()
    killed.settle()
    assert state_of(killed, "t1") == expected
