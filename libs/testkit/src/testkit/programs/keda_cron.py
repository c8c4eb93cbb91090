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
    """How many replicas KEDA asks for: pairs of unix seconds and replicas, at the beginning of each set and at every change.

    A set has `from` and `to` (unix seconds, whole minutes), `triggers` (`timezone`, `start`, `end`, `replicas`) and
    `every`: true evaluates every minute, false only the minutes that the cron library names next. Raises ValueError for
    triggers that KEDA refuses.
    """
    # The time zones are those that Python reads, so that a difference between the two is never one of time zones.
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
