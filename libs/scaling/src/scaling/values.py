"""The values file from which the chart prints the autoscalers of each role: KEDA's triggers, and the shift windows for
clusters without KEDA."""

import re
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import yaml

from scaling.schedule import MINUTES_PER_DAY, RoleSchedule, Schedule, format_time
from scaling.triggers import HORIZON_DAYS, build_triggers

_HEADER = "# Rendered by `uplift scaling render` on {today}; change the shift file, not this.\n"
_RENDERED_ON = re.compile(r"^# Rendered by `uplift scaling render` on (\d{4}-\d{2}-\d{2});")


def render_values(schedule: Schedule, today: date) -> str:
    """YAML: `scaling.<service>.<role>` with `min`, `max`, `triggers` from `today` on, and `shifts`, whatever the day."""
    services: dict[str, dict[str, Any]] = {}
    for each in schedule.roles:
        triggers = [asdict(trigger) for trigger in build_triggers(each, today)]
        of = {"min": each.min, "max": each.max, "triggers": triggers, "shifts": _describe_shifts(each)}
        services.setdefault(each.service, {})[each.role] = of
    return _HEADER.format(today=today) + yaml.safe_dump(
        {"scaling": services}, sort_keys=False, width=120, default_flow_style=None
    )


def _describe_shifts(schedule: RoleSchedule) -> dict[str, Any]:
    """What a shift file says of the role, with all defaults applied. Dates are texts: Helm reads others as instants."""
    windows = [
        {
            "name": each.name,
            "days": list(each.days),
            "from": format_time(each.begin),
            "to": "24:00" if each.end == MINUTES_PER_DAY else format_time(each.end),
            "replicas": each.replicas,
            "time_zone": each.time_zone,
            "lead_minutes": each.lead_minutes,
        }
        for each in schedule.windows
    ]
    extra_days = [{"date": str(day), "like": like} for day, like in sorted(schedule.extra_days.items())]
    return {"windows": windows, "holidays": [str(day) for day in sorted(schedule.holidays)], "extra_days": extra_days}


def find_rendering_date(text: str) -> date | None:
    """The date for which a file was rendered; None for one that was not."""
    found = _RENDERED_ON.match(text)
    return date.fromisoformat(found[1]) if found else None


def find_staleness(
    text: str, schedule: Schedule, *, today: date | None = None, max_age_days: int | None = None
) -> str | None:
    """Why a rendered file must be rendered again, as a sentence; None when it need not. The file is compared with what is
    rendered for its own date. With `today` and `max_age_days` one that is older is compared with today's, too."""
    rendered_on = find_rendering_date(text)
    if rendered_on is None:
        return "It was not written by `uplift scaling render`."
    if render_values(schedule, rendered_on) != text:
        return "The shift file, or what is made of it, has changed since it was rendered."
    if today is None or max_age_days is None or today - rendered_on <= timedelta(days=max_age_days):
        return None
    if is_current(text, schedule, today):
        return None
    return f"It is from {rendered_on}, and holidays are written for {HORIZON_DAYS} days only."


def is_current(text: str, schedule: Schedule, today: date) -> bool:
    """Whether a file that is rendered today would differ in nothing but the date."""
    return text.partition("\n")[2] == render_values(schedule, today).partition("\n")[2]
