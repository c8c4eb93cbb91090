"""Formats titles, values, days and times in a person's language. Every text for people is formatted local, so that no slug
and no other language gets into it."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal
from babel.units import format_unit
from contracts.windows import window_days

LANGUAGES = ("en", "zh")
_LOCALES = {"en": "en_GB", "zh": "zh_CN"}

# By a KPI's unit: how many decimals are shown, and CLDR's name of the unit of measurement.
_DECIMALS = {"percent": 1, "ratio": 2, "count": 1, "ms": 0, "seconds": 1, "minutes": 1, "hours": 1, "score": 1}
_MEASURES = {
    "percent": "concentr-percent",
    "ms": "duration-millisecond",
    "seconds": "duration-second",
    "minutes": "duration-minute",
    "hours": "duration-hour",
}


def select_language(preferred: str | None, of_tenant: str) -> str:
    """The person's language, else the tenant's, else English; `zh-CN` is Chinese."""
    for each in (preferred, of_tenant):
        short = (each or "").replace("_", "-").partition("-")[0].lower()
        if short in LANGUAGES:
            return short
    return "en"


def select_title(titles: Mapping[str, str], slug: str | None, language: str) -> str:
    """The title in `language`, else in English, else in any language; without a title, the slug as words."""
    title = titles.get(language) or titles.get("en") or next(iter(titles.values()), "")
    return title or (slug or "").replace("_", " ").replace("-", " ")


def format_value(value: str | None, unit: str | None, language: str) -> str:
    """A decimal in the KPI's unit, such as `65.4%`; empty when `value` is not a number."""
    try:
        number = Decimal(value or "")
    except InvalidOperation:
        return ""
    locale, decimals = _LOCALES[language], _DECIMALS.get(unit or "", 2)
    number = round(number, decimals)
    pattern = "#,##0." + "#" * decimals if decimals else "#,##0"
    if unit in _MEASURES:
        return format_unit(number, _MEASURES[unit], length="short", format=pattern, locale=locale)
    return format_decimal(number, format=pattern, locale=locale)


def format_day(day: date, language: str) -> str:
    """A date in long form: `11 March 2026`."""
    return format_date(day, "long", locale=_LOCALES[language])


def format_instant(at: datetime, language: str, time_zone: str) -> str:
    """A time in a time zone: `11 March 2026, 17:00`."""
    local = at.astimezone(ZoneInfo(time_zone))
    return f"{format_day(local.date(), language)}{', ' if language == 'en' else ' '}{local:%H:%M}"


def format_window(window: str, language: str) -> str:
    """A window's name for people: a workday as a date, an ISO week by its number, others by their first and last day."""
    days = window_days(window)
    if days is None:
        return window
    if days[0] == days[1]:
        return format_day(days[0], language)
    if "W" not in window:
        return " – ".join(format_day(day, language) for day in days)
    year, week, _ = days[0].isocalendar()
    return f"week {week} of {year}" if language == "en" else f"{year}年第{week}周"
