"""SIGKILL at random moments while records flow: afterwards everything is as if nothing had happened."""

import random
import threading
import time
from collections.abc import Callable

import pytest
from testkit import wait_for

from tests.flow.steps import load_state, set_up_tenant, try_send
from tests.flow.suite import Embedded, Suite

DAYS = 8
KILLS = 4


def feed(suite: Suite) -> None:
    for day in range(DAYS):
        wait_for(lambda day=day: try_send(suite, "t1", day), seconds=120, every=0.1)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_killed_and_undisturbed_end_alike(new_suite: Callable[[str], Embedded]) -> None:
    undisturbed = new_suite("undisturbed")
    undisturbed.start("--no-demo")
    undisturbed.set_platform_password()
    set_up_tenant(undisturbed, "t1")
    for day in range(DAYS):
        assert try_send(undisturbed, "t1", day)
    undisturbed.wait_until_idle()
    expected = load_state(undisturbed, "t1")
    undisturbed.stop()
    assert expected["points"]
    assert expected["assignments"]

    killed = new_suite("killed")
    killed.start("--no-demo")
    killed.set_platform_password()
    set_up_tenant(killed, "t1")
    killed.token("boss")
    feeding = threading.Thread(target=feed, args=(killed,))
    feeding.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.2))  # sleep: the kill comes at a random moment
        killed.kill()
        killed.start("--no-demo")
    feeding.join(120)
    assert not feeding.is_alive()
    killed.wait_until_idle()
    assert load_state(killed, "t1") == expected
