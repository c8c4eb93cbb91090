"""Parsing the cells of one line."""

import re
import unicodedata
from datetime import date
from typing import Any

from contracts.directory import PersonChanged
from pydantic import ValidationError
from servicekit.errors import FieldProblem

from identity.model.fields import is_uuid, to_field_problems
from identity.model.specs import AttributeSpec, ExternalIdSpec, LoginSpec, PersonSpec

_YES, _NO = {"true", "yes", "1", "y"}, {"false", "no", "0", "n"}


class LineRejected(Exception):
    """The line is rejected because of the value in column `field`."""

    def __init__(self, field: str, value: str, reason: str, cure: str) -> None:
        self.rejection = {"field": field, "value": value[:200], "reason": reason, "cure": cure}


def parse_person_cells(cells: dict[str, str], slug: str) -> PersonSpec:
    """Validates the cells, and returns the fields without dates of the person. Raises LineRejected for the first that is not
    valid."""
    plain: dict[str, Any] = {}
    for column, value in {"slug": slug, **cells}.items():
        kind, _, detail = column.partition(":")
        try:
            if column in ("display_name", "email", "language", "kind", "slug"):
                plain[column] = value
                PersonSpec.model_validate({"slug": slug, column: value})
            elif column == "login":
                LoginSpec(sub=value)
            elif column == "active":
                plain[column] = _parse_bool(value)
            elif kind == "external_id":
                ExternalIdSpec(source=detail, external_id=value)
            elif kind == "attribute":
                for each in value.split("|"):
                    AttributeSpec(name=detail, value=each)
        except ValidationError as error:
            first = to_field_problems(error)[0]
            raise LineRejected(column, value, first.problem, first.cure) from error
    return PersonSpec(**plain)


def _parse_bool(value: str) -> bool:
    if value.casefold() not in _YES | _NO:
        raise LineRejected("active", value, "it is neither yes nor no", "write true or false")
    return value.casefold() in _YES


def parse_day(cells: dict[str, str], name: str) -> date | None:
    """The date in column `name`, as 2026-03-31 or 31.03.2026; None when the cell is empty. Raises LineRejected."""
    value = cells.get(name)
    if value is None:
        return None
    for pattern, order in ((r"(\d{4})-(\d{1,2})-(\d{1,2})", (0, 1, 2)), (r"(\d{1,2})\.(\d{1,2})\.(\d{4})", (2, 1, 0))):
        found = re.fullmatch(pattern, value)
        if found:
            parts = [int(part) for part in found.groups()]
            try:
                return date(*(parts[place] for place in order))
            except ValueError:
                break
    raise LineRejected(name, value, "it is not a date", "write it as 2026-03-31 (or 31.03.2026)")


def to_line_rejected(problem: FieldProblem, person: PersonChanged, cells: dict[str, str]) -> LineRejected:
    """The rejection for a problem of the person, with the column that caused it."""
    steps = problem.pointer.strip("/").split("/")
    column = {"memberships": "org_path", "roles": "roles", "logins": "login"}.get(steps[0], steps[0])
    if steps[0] == "external_ids":
        column = f"external_id:{person.external_ids[int(steps[1])].source}"
    return LineRejected(column, cells.get(column, ""), problem.problem, problem.cure)


def slugify(text: str) -> str:
    """A slug of the Latin letters and digits in the text; empty when there are none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")[:60]
    return "" if is_uuid(slug) else slug
