"""Evaluates cron triggers as KEDA does: a small program on the cron library that KEDA uses, built by Go."""

import json
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH

from testkit.programs.program import build_go_project

CURE = "install Go 1.24 or later, with which the check of cron triggers is built"
PROJECT = Path(__file__).with_name("keda_cron")


def keda_cron() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("keda-cron", PROJECT, CURE)


def evaluate_triggers(sets: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """When how many replicas KEDA asks for: (unix seconds, replicas) at every change. Each set has `from`, `to` (unix
    seconds, whole minutes), `triggers` (`timezone`, `start`, `end`, `replicas`) and `every`: whether the library is asked at
    every minute."""
    # Both sides read one database of time zones: what differs is then a fault of the triggers.
    zones = next((path for path in TZPATH if Path(path).is_dir()), str(files("tzdata") / "zoneinfo"))
    done = subprocess.run(
        [keda_cron()],
        input=json.dumps({"sets": list(sets)}),
        env={"ZONEINFO": zones},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return [(int(at), int(replicas)) for at, replicas in map(str.split, done.stdout.splitlines())]
