"""The traffic in docs/samples: made up, the same every time. `python made_up_traffic.py` writes the two files.

Centres of many customers in Berlin's time, some 60,000 agents: open from eight to nine in the evening, busiest before noon,
fewer on Saturday, a night service."""

import math
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from scaling.traffic import format_legs

SAMPLES = Path(__file__).parents[3] / "docs/samples"
ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 9, 21)
"""A Monday; four weeks from it without a change of clocks, and the Monday after them."""
WEEKS = 4


def legs_a_second(at: datetime) -> float:
    """What is expected at a local time."""
    hour = at.hour + at.minute / 60
    night = 9.0
    if at.weekday() == 6:
        return night
    height = 0.45 if at.weekday() == 5 else 1.0
    if not 8 <= hour < (17 if at.weekday() == 5 else 21):
        return night
    morning = 75 * math.exp(-(((hour - 10.4) / 1.3) ** 2))
    afternoon = 40 * math.exp(-(((hour - 15) / 1.6) ** 2))
    return height * (60 + morning + afternoon) + night


def make_legs(first: date, days: int, minutes: int) -> dict[datetime, int]:
    """Legs by interval. A day is up to a twentieth busier or calmer than expected."""
    found: dict[datetime, int] = {}
    for number in range(days):
        day = first + timedelta(days=number)
        chance = Random(f"{day}/{minutes}")
        busy = chance.uniform(0.95, 1.05)
        for interval in range(24 * 60 // minutes):
            local = datetime(day.year, day.month, day.day, tzinfo=ZONE) + timedelta(minutes=interval * minutes)
            expected = busy * legs_a_second(local) * minutes * 60
            found[local.astimezone(UTC)] = max(0, round(chance.gauss(expected, math.sqrt(expected))))
    return found


def make_samples() -> dict[str, str]:
    """The files, by name."""
    return {
        "legs.csv": format_legs(make_legs(FIRST, 7 * WEEKS, 15)),
        "legs-of-a-day.csv": format_legs(make_legs(FIRST + timedelta(weeks=WEEKS), 1, 1)),
    }


if __name__ == "__main__":
    for name, text in make_samples().items():
        (SAMPLES / name).write_text(text)
