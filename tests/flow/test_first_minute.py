"""The first minute: what it prints, what it refuses, what survives."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from testkit import wait_for
from testkit.programs import free_port

from tests.flow.scenario import records_of
from tests.flow.steps import load_state, post_records, set_up_tenant
from tests.flow.suite import UPLIFT, Embedded

pytestmark = pytest.mark.timeout(240)


def refused(*options: str) -> str:
    """What `uplift up` says when it does not start."""
    done = subprocess.run([UPLIFT, "up", "--no-demo", *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("--port", str(port), "--data", str(tmp_path))
    assert said == f"Port {port} is in use. Stop what listens there, or: make up PORT={port + 1}"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused("--port", str(free_port()), "--data", str(tmp_path / "file" / "data"))
    assert "cannot be written" in said
    assert said.count("\n") == 0


def test_listening_beyond_loopback_is_refused(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--port", str(free_port()), "--data", str(tmp_path))
    assert "must not listen on 0.0.0.0" in said


def test_each_mode_has_its_own_data(new_suite: Callable[[str], Embedded]) -> None:
    """The demo's people have published passwords: what started empty must never have them, nor the other way round."""
    suite = new_suite("modes")
    suite.start("--no-demo")
    suite.stop()
    assert "Stopped. The data stays." in suite.log_file.read_text()
    demo = [UPLIFT, "up", "--demo", "--port", str(free_port()), "--data", str(suite.data)]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "is that of an empty start. Start it with `make up DEMO=0`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_failure_is_a_sentence_and_its_traceback_lies_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "postgres.log").touch()
    said = refused("--port", str(free_port()), "--data", str(tmp_path))
    assert "Uplift stopped: " in said
    assert "Traceback" in (tmp_path / "last-error.txt").read_text()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_says_that_it_has_stopped(new_suite: Callable[[str], Embedded], sent: signal.Signals) -> None:
    suite = new_suite("stopped")
    suite.start("--no-demo")
    assert suite.process is not None
    suite.process.send_signal(sent)
    assert suite.process.wait(30) == 0
    assert suite.log_file.read_text().rstrip().endswith("Stopped. The data stays.")
    assert postgres_processes(suite) == []


@pytest.mark.parametrize("moment", ["schemas", "a fork server"])
def test_ctrl_c_while_it_starts_is_no_failure(moment: str, tmp_path: Path) -> None:
    """A terminal tells every process of the group, also those that are just being started."""
    command = [UPLIFT, "up", "--demo", "--no-simulate", "--port", str(free_port()), "--data", str(tmp_path / "data")]
    log = tmp_path / "uplift.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=heed_interrupts
        )
    try:

        def has_come() -> bool:
            assert process.poll() is None, log.read_text()
            return has_fork_server(process.pid) if moment == "a fork server" else moment in log.read_text()

        wait_for(has_come, seconds=90, every=0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert "Traceback" not in said
    assert said.endswith("\nStopped. The data stays.\n")


def heed_interrupts() -> None:
    """As from a terminal: tests that run in the background inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def has_fork_server(group: int) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    b"multiprocessing.forkserver" in (entry / "cmdline").read_bytes()
                    and os.getpgid(int(entry.name)) == group
                ):
                    return True
            except OSError:
                continue
    return False


def postgres_processes(suite: Embedded) -> list[int]:
    """The server and its children, by the data folder in the server's command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(suite.data / "cluster") in line:
                found.append(int(entry.name))
    return found


def test_what_was_sent_survives(new_suite: Callable[[str], Embedded]) -> None:
    """A restart, kill -9 of PostgreSQL while it runs, kill -9 of the whole: the data stays."""
    suite = new_suite("kept")
    suite.start("--no-demo")
    assert re.search(r"answers at http://127\.0\.0\.1:\d+", suite.output)
    suite.set_platform_password()
    set_up_tenant(suite, "t1")
    for day in range(3):
        post_records(suite, "t1", records_of(day))
    suite.wait_until_idle()
    expected = load_state(suite, "t1")
    assert expected["assignments"]

    suite.stop()
    suite.start("--no-demo")
    assert "--one-time" not in suite.output, "the platform admin has a password"
    assert load_state(suite, "t1") == expected

    (server,) = postgres_processes(suite)
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: httpx.get(f"{suite.url}/readyz").status_code == 200, seconds=30, every=0.1)
    assert load_state(suite, "t1") == expected
    post_records(suite, "t1", records_of(3))
    suite.wait_until_idle()
    assert len(load_state(suite, "t1")["values"]) == 4 * len({value[0] for value in expected["values"]})

    suite.kill()
    suite.start("--no-demo")
    assert len(load_state(suite, "t1")["values"]) == 4 * len({value[0] for value in expected["values"]})


def test_reset_forgets_and_is_refused_while_running(new_suite: Callable[[str], Embedded]) -> None:
    suite = new_suite("forgotten")
    suite.start("--no-demo")
    command = [UPLIFT, "reset", "--yes", "--data", str(suite.data)]
    while_running = subprocess.run(command, capture_output=True, text=True)
    assert while_running.returncode == 1
    assert "in use" in while_running.stderr
    suite.stop()
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    suite.start("--no-demo")
    assert "--one-time" in suite.output, "everything is new again"
