"""The simulation as a process of its own."""

import signal
import socket
import subprocess
import sys


def test_it_waits_for_services_that_are_away_and_stops_when_told():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        command = [sys.executable, "-m", "simulator", "--url", f"http://127.0.0.1:{port}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            assert "the simulated history waits" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""


def test_it_leaves_with_whoever_started_it():
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulator', '--url', 'http://127.0.0.1:9'],"
        " stderr=subprocess.PIPE, text=True)\n"
        "child.stderr.readline()\n"
        "print(child.pid, flush=True)\n"
    )
    # The pipe to the grandchild stays open for as long as it lives, so this ends only when it has left.
    subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True, timeout=60)
