"""A bundle of sections, and what its identity section means for the tenant there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts import ALL_SERVICES
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from pydantic import BaseModel, ConfigDict, ValidationError
from servicekit.errors import FieldProblem, Invalid

from identity.model.documents import add_line_numbers, parse_yaml
from identity.model.fields import Line, to_field_problems
from identity.model.org import OrgTree, apply_units, unit_specs
from identity.model.people import NO_PROVIDER_LOGINS, ProviderLogins, apply_people, local_day
from identity.model.specs import Section

SECTION_POINTER = "/sections/identity"


class Bundle(BaseModel):
    """A whole tenant: a name, and one section for each service that has something to set up."""

    model_config = ConfigDict(extra="forbid")

    blueprint: Line
    sections: dict[str, dict[str, Any]]


def parse_bundle(text: str) -> tuple[Bundle, Section | None, list[FieldProblem]]:
    """The bundle, its identity section, and what is wrong with either, of YAML or JSON. Raises Invalid, with the lines, for
    what is no bundle."""
    bundle, section, problems = validate_bundle(parse_yaml(text))
    if bundle is None:
        raise bundle_invalid(problems, text)
    return bundle, section, problems


def bundle_invalid(problems: list[FieldProblem], text: str) -> Invalid:
    """Says what is wrong, with the lines."""
    told = "; ".join(f"{each.pointer or '/'}: {each.problem}" for each in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return Invalid(
        "blueprint-rejected", f"Nothing was applied. {told}{more}.", errors=add_line_numbers(problems[:200], text)
    )


def validate_bundle(document: Any) -> tuple[Bundle | None, Section | None, list[FieldProblem]]:
    """The bundle and its identity section, checked as far as it can be without knowing the tenant."""
    try:
        bundle = Bundle.model_validate(document)
    except ValidationError as error:
        return None, None, to_field_problems(error)
    problems: list[FieldProblem] = []
    for name in bundle.sections:
        if name not in ALL_SERVICES:
            cure = f"one of: {', '.join(ALL_SERVICES)}"
            problems.append(FieldProblem(pointer=f"/sections/{name}", problem="there is no such service", cure=cure))
    section = None
    if "identity" in bundle.sections:
        try:
            section = Section.model_validate(bundle.sections["identity"])
        except ValidationError as error:
            problems.extend(to_field_problems(error, SECTION_POINTER))
    return bundle, section, problems


@dataclass
class SectionPlan:
    """What applying the section changes."""

    tenant: TenantChanged
    units: list[OrgUnitChanged]
    people: list[PersonChanged]
    problems: list[FieldProblem]


def plan_section(
    section: Section,
    *,
    tenant: TenantChanged,
    units: Sequence[OrgUnitChanged],
    people: dict[UUID, PersonChanged],
    now: datetime,
    issuer: str,
    new_id: Callable[[], UUID],
    kept: ProviderLogins = NO_PROVIDER_LOGINS,
) -> SectionPlan:
    given = section.model_fields_set & {"time_zone", "day_start_minutes", "default_language"}
    tenant = tenant.model_copy(update={name: getattr(section, name) for name in given})
    tree = OrgTree(units)
    changed_units, problems = apply_units(tree, unit_specs(section.org_units, f"{SECTION_POINTER}/org_units"), new_id)
    if problems:
        return SectionPlan(tenant, [], [], problems)
    touched = find_affected_people(changed_units, units, people.values())
    changed_people, problems = apply_people(
        people,
        [(f"{SECTION_POINTER}/people/{index}", spec) for index, spec in enumerate(section.people)],
        tree=tree,
        tenant=tenant.slug,
        day=local_day(now, tenant),
        issuer=issuer,
        new_id=new_id,
        rechecked=touched,
        kept=kept,
    )
    return SectionPlan(tenant, changed_units, changed_people, problems)


def find_affected_people(changed: Sequence[OrgUnitChanged], before: Sequence[OrgUnitChanged], people: Any) -> set[UUID]:
    """Members of units whose kind changed or that were switched off: what held for them may hold no longer."""
    old = {unit.id: unit for unit in before}
    critical = {
        unit.id
        for unit in changed
        if unit.id in old and (unit.kind != old[unit.id].kind or (old[unit.id].active and not unit.active))
    }
    if not critical:
        return set()
    return {person.id for person in people if any(each.org_unit_id in critical for each in person.memberships)}


class SectionState(BaseModel):
    """How far one service is. `status`: `applied` (its section is in force), `rejected` (the newest was not taken, with
    the problems), `pending` (no answer yet), `not_in_blueprint`."""

    status: Literal["applied", "rejected", "pending", "not_in_blueprint"]
    applied_version: int | None = None
    rejected_version: int | None = None
    problems: list[dict[str, Any]] = []


def section_states(version: int | None, named: set[str], rows: dict[str, dict[str, Any]]) -> dict[str, SectionState]:
    """By service; `version` is the newest blueprint's, `named` the services it has a section for."""
    return {service: _state(service in named, version, rows.get(service, {})) for service in ALL_SERVICES}


def _state(named: bool, version: int | None, row: dict[str, Any]) -> SectionState:
    applied, rejected = row.get("applied_version"), row.get("rejected_version")
    status = "pending"
    if not named:
        status = "not_in_blueprint"
    elif applied == version:
        status = "applied"
    elif rejected == version:
        status = "rejected"
    problems = list(row.get("problems") or []) if rejected is not None else []
    return SectionState(status=status, applied_version=applied, rejected_version=rejected, problems=problems)
