"""A bundle of sections, and the changes that its identity section makes to an existing tenant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from identity.model.org import OrgTree, apply_units, list_unit_changes
from identity.model.people import NO_PROVIDER_LOGINS, ProviderLogins, apply_people, tenant_workday
from identity.model.specs import Section

SECTION_POINTER = "/sections/identity"


class Bundle(BaseModel):
    """A tenant's configuration: a name, and a section for each service that is configured."""

    model_config = ConfigDict(extra="forbid")

    blueprint: Line
    sections: dict[str, dict[str, Any]]


def parse_bundle(text: str) -> tuple[Bundle, Section | None, list[FieldProblem]]:
    """Parses YAML or JSON. Returns the bundle, its identity section (None: absent or broken) and the problems of both. Raises
    Invalid, with line numbers, when the text is not a bundle."""
    bundle, section, problems = validate_bundle(parse_yaml(text))
    if bundle is None:
        raise to_invalid_bundle(problems, text)
    return bundle, section, problems


def to_invalid_bundle(problems: list[FieldProblem], text: str) -> Invalid:
    """The error for these problems, with line numbers for the first 200."""
    summary = "; ".join(f"{each.pointer or '/'}: {each.problem}" for each in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return Invalid(
        "blueprint-rejected", f"Nothing was applied. {summary}{more}.", errors=add_line_numbers(problems[:200], text)
    )


def validate_bundle(document: Any) -> tuple[Bundle | None, Section | None, list[FieldProblem]]:
    """Checks a parsed document without knowing the tenant. Returns the bundle (None: it is not one), its identity section
    (None: absent or broken) and the problems."""
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
    """The changes that applying the section makes. With `problems` nothing may be applied."""

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
    provider_logins: ProviderLogins = NO_PROVIDER_LOGINS,
) -> SectionPlan:
    """The changes that the identity section makes to the tenant, its org units (`units`) and `people`. What the section does
    not name stays as it is. `issuer`: the issuer of logins that name none; `provider_logins`: those of the login provider."""
    fields = section.model_fields_set & {"time_zone", "day_start_minutes", "default_language"}
    tenant = tenant.model_copy(update={name: getattr(section, name) for name in fields})
    tree = OrgTree(units)
    changed_units, problems = apply_units(
        tree, list_unit_changes(section.org_units, f"{SECTION_POINTER}/org_units"), new_id
    )
    if problems:
        return SectionPlan(tenant, [], [], problems)
    touched = find_affected_people(changed_units, units, people.values())
    changed_people, problems = apply_people(
        people,
        [(f"{SECTION_POINTER}/people/{index}", spec) for index, spec in enumerate(section.people)],
        tree=tree,
        tenant=tenant.slug,
        day=tenant_workday(now, tenant),
        issuer=issuer,
        new_id=new_id,
        rechecked=touched,
        provider_logins=provider_logins,
    )
    return SectionPlan(tenant, changed_units, changed_people, problems)


def find_affected_people(
    changed: Sequence[OrgUnitChanged], before: Sequence[OrgUnitChanged], people: Iterable[PersonChanged]
) -> set[UUID]:
    """The ids of members of units that changed their kind or were switched off. The rules about memberships have to be
    checked again for them."""
    old = {unit.id: unit for unit in before}
    critical = {
        unit.id
        for unit in changed
        if unit.id in old and (unit.kind != old[unit.id].kind or (old[unit.id].active and not unit.active))
    }
    if not critical:
        return set()
    return {person.id for person in people if any(each.org_unit_id in critical for each in person.memberships)}


@dataclass(frozen=True, slots=True)
class SectionAnswer:
    """What a service answered last about its section. `applied_version` None: none yet, or edited through the API only;
    `rejected_version`: the newest version that it refused, with the `problems`; `content`: its section as it is now."""

    service: str
    applied_version: int | None
    rejected_version: int | None
    problems: list[dict[str, Any]]
    content: dict[str, Any] | None


class SectionState(BaseModel):
    """How far one service is. `status`: `applied` (its section is in force), `rejected` (the newest was not taken, with
    the problems), `pending` (no answer yet), `not_in_blueprint`."""

    status: Literal["applied", "rejected", "pending", "not_in_blueprint"]
    applied_version: int | None = None
    rejected_version: int | None = None
    problems: list[dict[str, Any]] = []


def build_section_states(
    version: int | None, named: set[str], answers: Mapping[str, SectionAnswer]
) -> dict[str, SectionState]:
    """The state of every service by its name. `version` is the newest blueprint's (None: there is none), `named` the
    services it has a section for, `answers` the last ones by service."""
    return {service: _state(service in named, version, answers.get(service)) for service in ALL_SERVICES}


def _state(named: bool, version: int | None, answer: SectionAnswer | None) -> SectionState:
    applied, rejected = (answer.applied_version, answer.rejected_version) if answer else (None, None)
    status = "pending"
    if not named:
        status = "not_in_blueprint"
    elif applied == version:
        status = "applied"
    elif rejected == version:
        status = "rejected"
    problems = answer.problems if answer and rejected is not None else []
    return SectionState(status=status, applied_version=applied, rejected_version=rejected, problems=problems)
