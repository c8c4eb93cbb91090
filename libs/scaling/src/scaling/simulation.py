"""The loop of the Horizontal Pod Autoscaler, played over a day: what the clock buys, and what it costs.

The rules are those of Kubernetes 1.34, with the chart's behaviour: every 15 seconds the largest recommendation of all metrics,
down only to the largest recommendation of the last five minutes and with ten per cent of tolerance, up without tolerance, by
a factor of two or four pods in 15 seconds."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STEP_SECONDS = 15


@dataclass(frozen=True)
class Autoscaler:
    """How a role is scaled. `utilization`: the target share of CPU; `cold_start_seconds`: from a replica's start to its first
    answer, with a node if one is needed. `down_percent_per_minute`: of the replicas a minute ago, at most so many are stopped;
    None: all. `static`: this many replicas always, nothing is scaled."""

    min: int
    max: int
    utilization: float = 0.7
    up_tolerance: float = 0.0
    down_tolerance: float = 0.1
    stabilization_seconds: int = 300
    down_percent_per_minute: int | None = None
    cold_start_seconds: int = 90
    static: int | None = None


@dataclass(frozen=True)
class Outcome:
    """`short_minutes`: minutes in which the ready replicas were fewer than the load needs at full use; `replica_hours`:
    what is paid for; `most`: the largest number of replicas; `ready`: replicas that are ready, by step."""

    short_minutes: float
    replica_hours: float
    most: int
    ready: Sequence[int] = ()


def simulate(
    load: Sequence[float], scaler: Autoscaler, floor: Callable[[int], int] | None = None, *, started: int | None = None
) -> Outcome:
    """Plays a load, in replicas at full use for each step of STEP_SECONDS. `floor`: replicas that the clock asks for, by
    seconds since the beginning. `started`: ready replicas at the beginning, `min` by default."""
    if scaler.static is not None:
        short = sum(each > scaler.static for each in load)
        hours = scaler.static * len(load) * STEP_SECONDS / 3600
        return Outcome(short * STEP_SECONDS / 60, hours, scaler.static, [scaler.static] * len(load))
    replicas = ready = started or max(scaler.min, floor(0) if floor else 0)
    starting: deque[tuple[int, int]] = deque()
    recommended: deque[tuple[int, int]] = deque()
    stopped: deque[tuple[int, int]] = deque()
    short = paid = most = 0
    course: list[int] = []
    for number, need in enumerate(load):
        now = number * STEP_SECONDS
        while starting and starting[0][0] <= now:
            ready += starting.popleft()[1]
        short += need > ready
        course.append(ready)
        paid += replicas
        most = max(most, replicas)
        wanted = _recommend(need, ready, replicas, scaler)
        if floor:
            wanted = max(wanted, floor(now))
        wanted = min(max(wanted, scaler.min), scaler.max)
        recommended.append((now, wanted))
        while recommended[0][0] < now - scaler.stabilization_seconds:
            recommended.popleft()
        if wanted > replicas:
            wanted = min(wanted, max(replicas * 2, replicas + 4))
            starting.append((now + scaler.cold_start_seconds, wanted - replicas))
        elif wanted < replicas:
            wanted = min(replicas, max(each for _, each in recommended))
            if scaler.down_percent_per_minute is not None:
                while stopped and stopped[0][0] <= now - 60:
                    stopped.popleft()
                before = replicas + sum(each for _, each in stopped)
                wanted = max(wanted, min(replicas, before * (100 - scaler.down_percent_per_minute) // 100))
                stopped.append((now, replicas - wanted))
            ready -= _stop(replicas - wanted, starting)
        replicas = wanted
    return Outcome(short * STEP_SECONDS / 60, paid * STEP_SECONDS / 3600, most, course)


def _recommend(need: float, ready: int, replicas: int, scaler: Autoscaler) -> int:
    """By CPU: a replica uses at most all of its CPU, so an overload shows as full use and not as how much is missing."""
    use = min(1.0, need / ready) / scaler.utilization if ready else 1.0
    if -scaler.down_tolerance <= use - 1 <= scaler.up_tolerance:
        return replicas
    # Replicas that are not ready count as idle when it goes up, and are left out when it goes down.
    wanted = math.ceil(use * ready)
    return max(replicas, wanted) if use > 1 else wanted


def _stop(count: int, starting: deque[tuple[int, int]]) -> int:
    """Stops replicas, those first that are not ready yet. Returns how many ready ones are stopped."""
    while count and starting:
        at, group = starting.pop()
        stopped = min(group, count)
        count -= stopped
        if group > stopped:
            starting.append((at, group - stopped))
    return count
