"""The values file that the chart prints into one ScaledObject for each role."""

import re
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import yaml

from scaling.schedule import Schedule
from scaling.triggers import HORIZON_DAYS, build_triggers

_HEADER = "# Rendered by `uplift scaling render` on {today}; change the shift file, not this.\n"
_RENDERED_ON = re.compile(r"^# Rendered by `uplift scaling render` on (\d{4}-\d{2}-\d{2});")
MAX_AGE_DAYS = 45
"""How old a file with dates may be: it has none beyond HORIZON_DAYS, and the rest is for those who repair the nightly job."""


def render_values(schedule: Schedule, today: date) -> str:
    """YAML: `scaling.<service>.<role>` with `min`, `max` and `triggers`."""
    services: dict[str, dict[str, Any]] = {}
    for each in schedule.roles:
        triggers = [asdict(trigger) for trigger in build_triggers(each, today)]
        services.setdefault(each.service, {})[each.role] = {"min": each.min, "max": each.max, "triggers": triggers}
    return _HEADER.format(today=today) + yaml.safe_dump(
        {"scaling": services}, sort_keys=False, width=120, default_flow_style=None
    )


def find_staleness(text: str, schedule: Schedule, today: date) -> str | None:
    """Why a rendered file must be rendered again, as a sentence; None when it need not."""
    found = _RENDERED_ON.match(text)
    if found is None:
        return "It was not written by `uplift scaling render`."
    rendered_on = date.fromisoformat(found[1])
    if render_values(schedule, rendered_on) != text:
        return "The shift file has changed since it was rendered."
    has_dates = any(day >= rendered_on for each in schedule.roles for day in (*each.holidays, *each.extra_days))
    if has_dates and today - rendered_on > timedelta(days=MAX_AGE_DAYS):
        return f"It is from {rendered_on}, and holidays are written for {HORIZON_DAYS} days only."
    return None
