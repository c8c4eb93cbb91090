"""Ports of tests: each is given once, to one caller, whatever process asks."""

import socket
import subprocess
import sys

import pytest
from testkit.programs import free_port
from testkit.programs.program import _FREE_PORTS

ASK = "from testkit.programs import free_port; print(*[free_port() for _ in range(300)])"


def test_no_port_is_given_twice_while_its_owner_lives() -> None:
    mine = [free_port() for _ in range(300)]
    other = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=60)
    given = [*mine, *map(int, other.stdout.split())]
    assert len(set(given)) == len(given) == 600
    assert set(given) <= set(_FREE_PORTS)


def test_a_port_on_which_somebody_listens_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("random.sample", lambda *_: [taken.getsockname()[1]])
        with pytest.raises(RuntimeError, match="No port"):
            free_port()
