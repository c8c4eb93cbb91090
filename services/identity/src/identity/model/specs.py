"""The notation of people, org units and tenants, in requests and in the identity section of a blueprint.

A field that is left out stays unchanged; a list replaces the old one. Org units are named by slug or id. Dates
hold from `valid_from` up to but not including `valid_until`; left out, they are open.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from contracts.directory import OrgUnitChanged, PersonChanged, Role, TenantChanged
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, model_validator
from servicekit.strict_models import StrictModel

from identity.model.fields import Day, Email, Instant, Language, Line, Slug, TenantSlug, Value, Zone, field_error


class _Dated(StrictModel):
    valid_from: Day | None = None
    valid_until: Day | None = Field(default=None, validation_alias=AliasChoices("valid_until", "valid_to"))
    """Older blueprints write `valid_to`."""

    @model_validator(mode="after")
    def _in_order(self) -> "_Dated":
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise field_error("it ends before it begins", "valid_until is the first day on which it no longer holds")
        return self


class LoginSpec(StrictModel):
    """Without `iss`: the issuer this installation trusts."""

    iss: Line | None = None
    sub: Line


def _login(value: Any) -> Any:
    return {"sub": value} if isinstance(value, str) else value


class ExternalIdSpec(_Dated):
    """The id that a source uses for the person."""

    source: Slug
    external_id: Value


class MembershipSpec(_Dated):
    """A membership in an org unit, by slug or id."""

    org_unit: str


class AttributeSpec(_Dated):
    """An attribute of the person; several values of a name are several attributes."""

    name: Slug
    value: Value


class RoleSpec(_Dated):
    """Without `org_unit`: over the whole tenant."""

    role: Role
    org_unit: str | None = None


MAX_ENTRIES = 500
"""The most entries in each list of a person: checks for overlaps compare every pair."""


class PersonPatch(StrictModel):
    """What may change of a person. `login: name` is short for `logins: [{sub: name}]`."""

    display_name: Line = ""
    email: Email | None = None
    language: Language | None = None
    kind: Literal["person", "machine"] = "person"
    active: bool = True
    login: Annotated[LoginSpec | None, BeforeValidator(_login)] = Field(default=None, exclude=True)
    logins: list[Annotated[LoginSpec, BeforeValidator(_login)]] = Field(default=[], max_length=MAX_ENTRIES)
    external_ids: list[ExternalIdSpec] = Field(default=[], max_length=MAX_ENTRIES)
    memberships: list[MembershipSpec] = Field(default=[], max_length=MAX_ENTRIES)
    attributes: list[AttributeSpec] = Field(default=[], max_length=MAX_ENTRIES)
    roles: list[RoleSpec] = Field(default=[], max_length=MAX_ENTRIES)


class PersonSpec(PersonPatch):
    """A person, named by `slug`."""

    slug: Slug


class PersonView(BaseModel):
    """A person with everything that is known of them, past and planned, written as a PATCH takes it."""

    id: UUID
    slug: str
    kind: Literal["person", "machine"]
    display_name: str
    email: str | None
    language: str | None
    active: bool
    logins: list[LoginSpec]
    external_ids: list[ExternalIdSpec]
    memberships: list[MembershipSpec]
    attributes: list[AttributeSpec]
    roles: list[RoleSpec]


class OrgUnitPatch(StrictModel):
    """`parent` is a slug or an id; null makes it a root. Without `time_zone`: the tenant's."""

    name: Line = ""
    kind: Slug = "team"
    parent: str | None = None
    time_zone: Zone | None = None
    active: bool = True


class OrgUnitSpec(OrgUnitPatch):
    """An org unit, named by `slug`."""

    slug: Slug


class TenantTime(StrictModel):
    """`day_start_minutes` after midnight a workday begins."""

    time_zone: Zone = "UTC"
    day_start_minutes: int = Field(default=0, ge=0, lt=24 * 60)
    default_language: Language = "en"


class Section(TenantTime):
    """The section `identity` of a blueprint. Whoever and whatever it does not name stays as it is."""

    org_units: list[OrgUnitSpec] = []
    people: list[PersonSpec] = []


class TenantPatch(TenantTime):
    """What may change of a tenant."""

    name: Line = ""
    active: bool = True


class AdminSpec(StrictModel):
    """The first person of a new tenant, who gets the role tenant_admin."""

    slug: Slug
    display_name: Line
    email: Email | None = None
    login: Annotated[LoginSpec, BeforeValidator(_login)]


class TenantSpec(TenantTime):
    """A simulated tenant lives by its own clock, which is moved through the API."""

    slug: TenantSlug
    name: Line
    simulated: bool = False
    clock: Instant | None = None
    admin: AdminSpec | None = None

    @model_validator(mode="after")
    def _clock_is_simulated(self) -> "TenantSpec":
        if self.clock and not self.simulated:
            raise field_error("only a simulated tenant has a clock", "set simulated: true or leave clock out")
        return self


def to_person_view(person: PersonChanged, unit_slugs: dict[UUID, str]) -> PersonView:
    """The person as a response. `unit_slugs`: the slug of every org unit by id."""
    return PersonView(id=person.id, **to_person_spec(person, unit_slugs).model_dump())


def to_person_spec(person: PersonChanged, unit_slugs: dict[UUID, str]) -> PersonSpec:
    """The person as a blueprint would write them. `unit_slugs`: the slug of every org unit by id. Stored values are not validated
    again."""
    plain: dict[str, Any] = {
        name: getattr(person, name) for name in ("slug", "kind", "display_name", "email", "language", "active")
    }
    return PersonSpec.model_construct(
        **plain,
        logins=[LoginSpec.model_construct(iss=each.iss, sub=each.sub) for each in person.logins],
        external_ids=[
            ExternalIdSpec.model_construct(source=each.source, external_id=each.external_id, **_dates(each))
            for each in person.external_ids
        ],
        memberships=[
            MembershipSpec.model_construct(org_unit=unit_slugs[each.org_unit_id], **_dates(each))
            for each in person.memberships
        ],
        attributes=[
            AttributeSpec.model_construct(name=each.name, value=each.value, **_dates(each))
            for each in person.attributes
        ],
        roles=[
            RoleSpec.model_construct(
                role=each.role, org_unit=unit_slugs[each.org_unit_id] if each.org_unit_id else None, **_dates(each)
            )
            for each in person.roles
        ],
    )


def _dates(dated: Any) -> dict[str, Any]:
    return {"valid_from": dated.valid_from, "valid_until": dated.valid_until}


def to_section(tenant: TenantChanged, units: list[OrgUnitChanged], people: list[PersonChanged]) -> dict[str, Any]:
    """The identity section that would recreate this tenant, as JSON without values that equal the defaults. `units` must come
    parents first."""
    slugs = {unit.id: unit.slug for unit in units}
    specs = [
        OrgUnitSpec.model_construct(
            slug=unit.slug,
            name=unit.name,
            kind=unit.kind,
            parent=slugs[unit.parent_id] if unit.parent_id else None,
            time_zone=unit.time_zone,
            active=unit.active,
        )
        for unit in units
    ]
    return {
        "time_zone": tenant.time_zone,
        "day_start_minutes": tenant.day_start_minutes,
        "default_language": tenant.default_language,
        "org_units": [_plain(each) | {"kind": each.kind} for each in specs],
        "people": [_plain(to_person_spec(each, slugs)) for each in people],
    }


def _plain(spec: OrgUnitSpec | PersonSpec) -> dict[str, Any]:
    return {"slug": spec.slug, **spec.model_dump(mode="json", exclude_defaults=True)}


class ClockMove(StrictModel):
    """The instant the simulated tenant's clock moves on to."""

    now: Instant


def find_clock_problem(before: datetime | None, now: datetime) -> str | None:
    """Why a clock that shows `before` cannot move to `now`; None: it can."""
    if before is not None and now < before:
        return f"The clock shows {before.isoformat()} and never goes back."
    return None
