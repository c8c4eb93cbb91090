"""How things are said to a person: titles, values, days and times, in the person's language. What people read takes them
from here only, so that no slug and no other language gets into it."""

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

# Of a KPI's unit: how many decimals are shown, and the unit of measurement as CLDR knows it.
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
    """In that language, else in English, else in whatever there is; without any title, the name as words."""
    told = titles.get(language) or titles.get("en") or next(iter(titles.values()), "")
    return told or (slug or "").replace("_", " ").replace("-", " ")


def format_value(value: str | None, unit: str | None, language: str) -> str:
    """A decimal in the KPI's unit, as `65.4%`; empty where there is none."""
    try:
        number = Decimal(value or "")
    except InvalidOperation:
        return ""
    locale, decimals = _LOCALES[language], _DECIMALS.get(unit or "", 2)
    number = round(number, decimals)
    shape = "#,##0." + "#" * decimals if decimals else "#,##0"
    if unit in _MEASURES:
        return format_unit(number, _MEASURES[unit], length="short", format=shape, locale=locale)
    return format_decimal(number, format=shape, locale=locale)


def format_day(day: date, language: str) -> str:
    return format_date(day, "long", locale=_LOCALES[language])


def format_instant(at: datetime, language: str, time_zone: str) -> str:
    """By the tenant's clock: `11 March 2026, 17:00`."""
    here = at.astimezone(ZoneInfo(time_zone))
    return f"{format_day(here.date(), language)}{', ' if language == 'en' else ' '}{here:%H:%M}"


def format_window(window: str, language: str) -> str:
    """A workday as a date, an ISO week by its number, another stretch by its first and last day."""
    days = window_days(window)
    if days is None:
        return window
    if days[0] == days[1]:
        return format_day(days[0], language)
    if "W" not in window:
        return " – ".join(format_day(day, language) for day in days)
    year, week, _ = days[0].isocalendar()
    return f"week {week} of {year}" if language == "en" else f"{year}年第{week}周"
