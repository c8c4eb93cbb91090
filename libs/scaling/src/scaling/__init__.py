"""Replicas by the clock: shift windows of an environment, and what follows from them.

`reading` reads and checks a shift file, `triggers` turns it into KEDA cron triggers, `floors` says how many replicas it
asks for at an instant, `simulation` plays a day with the rules of the HPA, `planning` proposes windows from traffic."""

from scaling.floors import floor_at, floor_during
from scaling.reading import ScheduleError, read_schedule
from scaling.schedule import RoleSchedule, Schedule, ShiftWindow
from scaling.triggers import CronTrigger, build_triggers

__all__ = [
    "CronTrigger",
    "RoleSchedule",
    "Schedule",
    "ScheduleError",
    "ShiftWindow",
    "build_triggers",
    "floor_at",
    "floor_during",
    "read_schedule",
]
