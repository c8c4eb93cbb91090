"""The types of single fields, and the translation of validation errors into problems with pointer and cure."""

import re
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from servicekit.door.cures import cure_of, strip_validator_prefix
from servicekit.errors import MOST_PROBLEMS, FieldProblem, Invalid
from servicekit.times import WrittenInstant

SLUG = r"^[a-z0-9][a-z0-9._-]{0,62}$"
TENANT_SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"
_SLUG_CURE = "use 1 to 63 of a-z 0-9 . _ - and begin with a letter or a digit"
_LANGUAGE = r"^[a-zA-Z]{2,3}(-[A-Za-z0-9]{2,8})*$"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def field_error(problem: str, cure: str) -> PydanticCustomError:
    """A validation error with a cure, for validators to raise."""
    return PydanticCustomError("wrong", "{problem}", {"problem": problem, "cure": cure})


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in any of its notations."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _slug(value: str) -> str:
    if not re.match(SLUG, value):
        raise field_error(f"`{value[:80]}` is not a slug", _SLUG_CURE)
    if is_uuid(value):
        raise field_error("a slug may not look like a UUID", "choose a readable one")
    return value


def _tenant_slug(value: str) -> str:
    if not re.match(TENANT_SLUG, value) or is_uuid(value):
        raise field_error(f"`{value[:80]}` is not a tenant's slug", "use 1 to 63 of a-z 0-9 - and begin with a letter")
    return value


def _printable(value: str) -> str:
    if _UNPRINTABLE.search(value):
        raise field_error("it holds control characters", "take them out")
    return value


def _text(value: Any) -> Any:
    # People write ids without quotes: 4711 means "4711".
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost", value):
        raise field_error(f"`{value}` is not an email address", "write it as name@example.org")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(_LANGUAGE, value):
        raise field_error(f"`{value}` is not a language tag", "write it as en, zh or pt-BR")
    return value


def _day(value: Any) -> Any:
    if value is None or (isinstance(value, date) and type(value) is date):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise field_error(f"`{value}` is not a date", "write it as 2026-03-31")


def _instant(value: datetime) -> datetime:
    if not 1990 <= value.year <= 2200:
        raise field_error(f"{value.year} is no year a clock can show", "choose one between 1990 and 2200")
    return value


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value not in _zones():
        near = [zone for zone in sorted(_zones()) if value.strip().casefold() in zone.casefold()][:3]
        raise field_error(
            f"there is no time zone `{value[:80]}`",
            f"perhaps {' or '.join(near)}" if near else "use a name of the IANA database, such as Europe/Berlin",
        )
    ZoneInfo(value)
    return value


def _string_schema(**schema: Any) -> WithJsonSchema:
    """The JSON Schema of a text: what its validator demands, as far as JSON Schema can express it."""
    return WithJsonSchema({"type": "string", **schema})


_LINE = {"minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*$"}

Slug = Annotated[str, AfterValidator(_slug), _string_schema(pattern=SLUG)]
TenantSlug = Annotated[str, AfterValidator(_tenant_slug), _string_schema(pattern=TENANT_SLUG)]
Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
    _string_schema(**_LINE),
]
Value = Annotated[
    Line, BeforeValidator(_text), WithJsonSchema({"anyOf": [{"type": "string", **_LINE}, {"type": "number"}]})
]
Email = Annotated[Line, AfterValidator(_email), _string_schema(format="email", maxLength=200)]
Language = Annotated[Line, AfterValidator(_language), _string_schema(pattern=_LANGUAGE)]
Zone = Annotated[str, AfterValidator(_zone), _string_schema(format="time-zone")]
Instant = Annotated[WrittenInstant, AfterValidator(_instant)]
Day = Annotated[date, BeforeValidator(_day)]


def to_field_problems(error: ValidationError, prefix: str = "") -> list[FieldProblem]:
    """The problems of a pydantic error, at most MOST_PROBLEMS; pointers begin with `prefix`."""
    found: list[FieldProblem] = []
    for each in error.errors(include_url=False)[:MOST_PROBLEMS]:
        pointer = prefix + "".join("/" + escape_pointer_step(part) for part in each["loc"])
        cure = str(each.get("ctx", {}).get("cure", "")) or _CURES.get(each["type"]) or cure_of(each)
        problem = (
            "this field is not known" if each["type"] == "extra_forbidden" else strip_validator_prefix(each["msg"])
        )
        found.append(FieldProblem(pointer=pointer, problem=problem, cure=cure))
    return found


def escape_pointer_step(part: object) -> str:
    """A key or index as one step of a JSON pointer (RFC 6901, section 3)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def raise_if_problems(problems: list[FieldProblem]) -> None:
    """Raises Invalid with the problems, unless there are none."""
    if problems:
        summary = "; ".join(f"{each.pointer or '/'}: {each.problem}" for each in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Invalid("invalid-fields", f"{summary}{more}.", errors=problems)


_CURES = {
    "extra_forbidden": "check its spelling, or leave it out",
    "missing": "add it",
    "string_type": "write text; put it in quotes if it looks like a number",
    "list_type": "write a list",
    "model_type": "write an object with named fields",
    "bool_type": "write true or false",
}
