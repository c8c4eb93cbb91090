"""The rules about people: memberships, roles and their dates, and the ownership of external ids and logins."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.directory import (
    PLATFORM_TENANT,
    ExternalId,
    Login,
    Membership,
    PersonAttribute,
    PersonChanged,
    RoleGrant,
    TenantChanged,
)
from servicekit.errors import FieldProblem
from servicekit.workdays import compute_workday

from identity.model.org import OrgTree
from identity.model.specs import LoginSpec, PersonPatch, PersonSpec

WHOLE_TENANT_ROLES = ("tenant_admin", "platform_admin", "integration")


class Dated(Protocol):
    """Something that holds from one day until another, either of which may be open (None)."""

    @property
    def valid_from(self) -> date | None:
        """The first day on which it holds."""
        ...

    @property
    def valid_until(self) -> date | None:
        """The first day on which it no longer holds."""
        ...


def tenant_workday(now: datetime, tenant: TenantChanged) -> date:
    """The tenant's workday at `now`, as for nobody in particular: changes of the directory take effect on it."""
    return compute_workday(now, ZoneInfo(tenant.time_zone), tenant.day_start_minutes)


def overlaps(one: Dated, other: Dated) -> bool:
    """Whether there is a day on which both hold."""
    return (one.valid_from or date.min) < (other.valid_until or date.max) and (other.valid_from or date.min) < (
        one.valid_until or date.max
    )


def role_covered_until(people: Iterable[PersonChanged], role: str, day: date) -> date:
    """The first day from `day` on, on which no active person (machines excluded) has the role over the entire tenant; date.max:
    never."""
    grants = [
        grant
        for person in people
        if person.active and person.kind == "person"
        for grant in person.roles
        if grant.role == role and grant.org_unit_id is None
    ]
    until = day
    while further := [
        grant.valid_until or date.max
        for grant in grants
        if (grant.valid_from or date.min) <= until < (grant.valid_until or date.max)
    ]:
        until = max(further)
    return until


def merge_person(
    spec: PersonPatch, before: PersonChanged | None, *, slug: str, person_id: UUID, tree: OrgTree, issuer: str, at: str
) -> tuple[PersonChanged, list[FieldProblem]]:
    """The person with the fields that `spec` sets, and the problems. `before` None: a new person with `slug` and `person_id`.
    `issuer`: the `iss` of logins that name none; `at`: the pointer of the spec."""
    set_fields = spec.model_fields_set
    problems: list[FieldProblem] = []
    if not spec.display_name and (before is None or "display_name" in set_fields):
        problems.append(_problem(f"{at}/display_name", "a person needs a name", "add display_name"))

    def unit_id(ref: str, where: str) -> UUID:
        unit = tree.find(ref)
        if unit is None:
            known = ", ".join(sorted(tree.by_slug)[:8]) or "none yet"
            problems.append(_problem(f"{at}{where}", f"there is no org unit `{ref}`", f"one of: {known}"))
            return person_id
        return unit.id

    changes: dict[str, Any] = {
        name: getattr(spec, name)
        for name in ("display_name", "email", "language", "kind", "active")
        if name in set_fields
    }
    if spec.login or "logins" in set_fields:
        logins = [*spec.logins, *([spec.login] if spec.login else [])]
        changes["logins"] = list(dict.fromkeys(resolve_login(each, issuer) for each in logins))
    if "external_ids" in set_fields:
        changes["external_ids"] = [ExternalId.model_construct(**each.model_dump()) for each in spec.external_ids]
    if "attributes" in set_fields:
        changes["attributes"] = [PersonAttribute.model_construct(**each.model_dump()) for each in spec.attributes]
    if "memberships" in set_fields:
        changes["memberships"] = [
            Membership.model_construct(
                org_unit_id=unit_id(each.org_unit, f"/memberships/{index}/org_unit"),
                valid_from=each.valid_from,
                valid_until=each.valid_until,
            )
            for index, each in enumerate(spec.memberships)
        ]
    if "roles" in set_fields:
        changes["roles"] = [
            RoleGrant.model_construct(
                role=each.role,
                org_unit_id=None if each.org_unit is None else unit_id(each.org_unit, f"/roles/{index}/org_unit"),
                valid_from=each.valid_from,
                valid_until=each.valid_until,
            )
            for index, each in enumerate(spec.roles)
        ]
    start = before or PersonChanged(id=person_id, slug=slug, display_name=spec.display_name)
    return start.model_copy(update=changes), problems


def resolve_login(spec: LoginSpec, issuer: str) -> Login:
    """The login; `issuer` stands in for a missing `iss`."""
    return Login(iss=spec.iss or issuer, sub=spec.sub)


def find_person_problems(
    person: PersonChanged, *, tree: OrgTree, tenant: str, day: date, at: str
) -> list[FieldProblem]:
    """The problems of the person that need no other person to be seen. `day` is the tenant's today, `at` the pointer of the
    person."""
    return [
        *_membership_problems(person, tree, day, at),
        *_external_id_problems(person, at),
        *_role_problems(person, tenant, at),
    ]


def _membership_problems(person: PersonChanged, tree: OrgTree, day: date, at: str) -> Iterator[FieldProblem]:
    for index, each in enumerate(person.memberships):
        unit = tree.by_id.get(each.org_unit_id)
        where = f"{at}/memberships/{index}"
        if unit is None:
            continue
        if not unit.active and (each.valid_until is None or each.valid_until > day):
            yield _problem(where, f"org unit `{unit.slug}` is switched off", "end it, or choose another")
        for other in person.memberships[:index]:
            elsewhere = tree.by_id.get(other.org_unit_id)
            if elsewhere and elsewhere.kind == unit.kind and overlaps(each, other):
                problem = f"it overlaps with the membership in `{elsewhere.slug}`, also of kind {unit.kind}"
                yield _problem(where, problem, "set valid_until of the earlier one to the day the later one begins")
                break


def _external_id_problems(person: PersonChanged, at: str) -> Iterator[FieldProblem]:
    for index, each in enumerate(person.external_ids):
        same = [
            other
            for other in person.external_ids[:index]
            if (other.source, other.external_id) == (each.source, each.external_id) and overlaps(each, other)
        ]
        if same:
            problem = f"`{each.external_id}` of source `{each.source}` is there twice at the same time"
            yield _problem(f"{at}/external_ids/{index}", problem, "keep one of them")


def _role_problems(person: PersonChanged, tenant: str, at: str) -> Iterator[FieldProblem]:
    for index, each in enumerate(person.roles):
        if each.role in WHOLE_TENANT_ROLES and each.org_unit_id is not None:
            problem = f"{each.role} always holds for the whole tenant"
            yield _problem(f"{at}/roles/{index}/org_unit", problem, "leave org_unit out")
        if each.role == "team_lead" and each.org_unit_id is None:
            problem = "team_lead needs the org unit that is led"
            yield _problem(f"{at}/roles/{index}/org_unit", problem, "add org_unit")
        if each.role == "platform_admin" and tenant != PLATFORM_TENANT:
            problem = f"platform_admin exists in tenant `{PLATFORM_TENANT}` only"
            yield _problem(f"{at}/roles/{index}/role", problem, "use tenant_admin")


@dataclass(frozen=True)
class ProviderAccount:
    """An account at the login provider. `email` is its effective address; `own_email` None: it follows the person's."""

    username: str
    own_email: str | None
    email: str | None


@dataclass(frozen=True)
class ProviderLogins:
    """What the login provider holds: the person of each login of an account or a machine, and the account of each person."""

    logins: Mapping[Login, UUID] = field(default_factory=dict[Login, UUID])
    accounts: Mapping[UUID, ProviderAccount] = field(default_factory=dict[UUID, ProviderAccount])

    def is_taken(self, text: str | None, except_person: UUID) -> bool:
        """Whether the account of anybody else has this username or e-mail address."""
        return text is not None and any(
            text.casefold() in (each.username, (each.email or "").casefold())
            for person_id, each in self.accounts.items()
            if person_id != except_person
        )

    def find_problems(self, person: PersonChanged, at: str) -> list[FieldProblem]:
        """Problems where the person claims a login or an address of somebody else's account."""
        problems = [
            _problem(f"{at}/logins/{index}", f"the login `{login.sub}` is the account of somebody else", "leave it out")
            for index, login in enumerate(person.logins)
            if self.logins.get(login, person.id) != person.id
        ]
        mine = self.accounts.get(person.id)
        if mine and not mine.own_email and person.email != mine.email and self.is_taken(person.email, person.id):
            problem = f"`{person.email}` is what somebody else's account goes by"
            problems.append(_problem(f"{at}/email", problem, "use an address of this person's own"))
        return problems


NO_PROVIDER_LOGINS = ProviderLogins()


class OwnershipIndex:
    """The owners of external ids and logins among `people`, and at the login provider."""

    def __init__(self, people: Iterable[PersonChanged], provider_logins: ProviderLogins = NO_PROVIDER_LOGINS) -> None:
        self._provider_logins = provider_logins
        self._external: dict[tuple[str, str], list[tuple[PersonChanged, ExternalId]]] = {}
        self._logins: dict[Login, PersonChanged] = {}
        for person in people:
            self.add(person)

    def add(self, person: PersonChanged) -> None:
        """Adds what the person holds."""
        for each in person.external_ids:
            self._external.setdefault((each.source, each.external_id), []).append((person, each))
        for login in person.logins:
            self._logins[login] = person

    def remove(self, person: PersonChanged) -> None:
        """Removes what the person holds."""
        for each in person.external_ids:
            holders = self._external.get((each.source, each.external_id), [])
            self._external[each.source, each.external_id] = [held for held in holders if held[0].id != person.id]
        for login in person.logins:
            holder = self._logins.get(login)
            if holder and holder.id == person.id:
                del self._logins[login]

    def find_by_login(self, login: Login) -> PersonChanged | None:
        """Who signs in by this login; None: nobody."""
        return self._logins.get(login)

    def find_by_external_id(self, source: str, external_id: str, day: date) -> PersonChanged | None:
        """Who holds the external id on `day`, or else who held it last; None: nobody ever."""
        holders = self._external.get((source, external_id), [])
        on_day = [person for person, held in holders if held.holds_on(day)]
        if on_day:
            return on_day[0]
        return max(holders, key=lambda each: each[1].valid_until or date.max)[0] if holders else None

    def find_problems(self, person: PersonChanged, at: str) -> list[FieldProblem]:
        """Problems where somebody else holds what this person claims. `at`: the pointer of the person."""
        problems = self._provider_logins.find_problems(person, at)
        for index, each in enumerate(person.external_ids):
            for other, held in self._external.get((each.source, each.external_id), []):
                if other.id != person.id and overlaps(each, held):
                    problem = (
                        f"`{each.external_id}` of source `{each.source}` is held by `{other.slug}` at the same time"
                    )
                    cure = f"end it at `{other.slug}` first (valid_until), and let this one begin on that day"
                    problems.append(_problem(f"{at}/external_ids/{index}", problem, cure))
                    break
        for index, login in enumerate(person.logins):
            other = self._logins.get(login)
            if other and other.id != person.id:
                problem = f"the login `{login.sub}` belongs to `{other.slug}`"
                problems.append(_problem(f"{at}/logins/{index}", problem, f"take it from `{other.slug}` first"))
        return problems


def apply_people(
    people: dict[UUID, PersonChanged],
    specs: Sequence[tuple[str, PersonSpec]],
    *,
    tree: OrgTree,
    tenant: str,
    day: date,
    issuer: str,
    new_id: Callable[[], UUID],
    rechecked: Collection[UUID] = (),
    provider_logins: ProviderLogins = NO_PROVIDER_LOGINS,
) -> tuple[list[PersonChanged], list[FieldProblem]]:
    """The people that change when `specs` (pointer, person) are applied to `people`, and the problems. `day` is the tenant's today;
    `rechecked` are people whose rules are checked although no spec names them, because their org units changed."""
    by_slug = {person.slug: person for person in people.values()}
    problems: list[FieldProblem] = []
    result: dict[UUID, tuple[str, PersonChanged]] = {}
    seen: set[str] = set()
    for pointer, spec in specs:
        if spec.slug in seen:
            problems.append(_problem(f"{pointer}/slug", f"person `{spec.slug}` is there twice", "keep one of them"))
            continue
        seen.add(spec.slug)
        before = by_slug.get(spec.slug)
        person_id = before.id if before else new_id()
        person, found = merge_person(
            spec, before, slug=spec.slug, person_id=person_id, tree=tree, issuer=issuer, at=pointer
        )
        problems.extend(found)
        result[person.id] = (pointer, person)
    for person_id in set(rechecked) - result.keys():
        result[person_id] = (f"/org_units (of person `{people[person_id].slug}`)", people[person_id])

    everyone = {**people, **{person_id: person for person_id, (_, person) in result.items()}}
    ownership = OwnershipIndex(everyone.values(), provider_logins)
    for pointer, person in result.values():
        problems.extend(find_person_problems(person, tree=tree, tenant=tenant, day=day, at=pointer))
        problems.extend(ownership.find_problems(person, pointer))
    changed = [person for _, person in result.values() if people.get(person.id) != person]
    return changed, problems


def _problem(pointer: str, problem: str, cure: str) -> FieldProblem:
    return FieldProblem(pointer=pointer, problem=problem, cure=cure)
