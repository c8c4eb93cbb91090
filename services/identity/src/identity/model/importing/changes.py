"""Applying a line to a person's dated entries: those that no longer hold get an end date, and stay."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar, get_args
from uuid import UUID

from contracts.directory import (
    ExternalId,
    Login,
    Membership,
    OrgUnitChanged,
    PersonAttribute,
    PersonChanged,
    Role,
    RoleGrant,
)

from identity.model.importing.cells import LineRejected, parse_day
from identity.model.importing.org_paths import BRANCH_KIND, LEAF_KIND
from identity.model.org import OrgTree
from identity.model.people import WHOLE_TENANT_ROLES

_Entry = TypeVar("_Entry", ExternalId, Membership, PersonAttribute, RoleGrant)
_ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class EffectiveDate:
    """When a line takes effect. `since`: its column `valid_from`; None: `today`."""

    today: date
    since: date | None

    @property
    def day(self) -> date:
        """The first day on which the line holds."""
        return self.since or self.today


def with_login(person: PersonChanged, name: str, issuer: str) -> PersonChanged:
    """The person with this login as the only one of `issuer`; those of other issuers stay."""
    login = Login(iss=issuer, sub=name)
    if login in person.logins:
        return person
    others = [each for each in person.logins if each.iss != issuer]
    return person.model_copy(update={"logins": [*others, login]})


def with_membership(person: PersonChanged, unit: OrgUnitChanged, tree: OrgTree, moment: EffectiveDate) -> PersonChanged:
    """The person as a member of `unit`, and of no other unit of its kind or of the kinds that an import creates."""
    kinds = {unit.kind, LEAF_KIND, BRANCH_KIND}

    def replaceable(each: Membership) -> bool:
        known = tree.by_id.get(each.org_unit_id)
        return known is not None and known.kind in kinds

    mine = [each for each in person.memberships if replaceable(each)]
    rest = [each for each in person.memberships if not replaceable(each)]
    moved = _replace_from(mine, {unit.id: Membership(org_unit_id=unit.id)}, lambda e: e.org_unit_id, moment)
    return person if moved == mine else person.model_copy(update={"memberships": [*rest, *moved]})


def with_roles(person: PersonChanged, cell: str, unit: OrgUnitChanged | None, moment: EffectiveDate) -> PersonChanged:
    """The person with the roles in `cell` and no others. Roles that do not apply to the entire tenant apply to `unit`, or to the
    person's present unit. Raises LineRejected for an unknown role, and for team_lead without a unit."""
    current = [each.org_unit_id for each in person.memberships if each.holds_on(moment.day)]
    place = unit.id if unit else next(reversed(current), None)
    desired: dict[tuple[str, UUID | None], RoleGrant] = {}
    for raw in filter(None, re.split(r"[|;,\s]+", cell)):
        role = raw.casefold()
        if role not in _ROLES:
            raise LineRejected("roles", raw, f"there is no role `{raw}`", f"one of: {', '.join(_ROLES)}")
        whole = role in WHOLE_TENANT_ROLES or role in ("trainer", "quality_analyst")
        if role == "team_lead" and place is None:
            raise LineRejected("roles", raw, "team_lead needs the org unit that is led", "fill the column org_path")
        where = None if whole else place
        desired[role, where] = RoleGrant(role=role, org_unit_id=where)  # type: ignore[arg-type]
    roles = _replace_from(person.roles, desired, lambda e: (e.role, e.org_unit_id), moment)
    return person.model_copy(update={"roles": roles})


def with_external_ids(person: PersonChanged, cells: dict[str, str], moment: EffectiveDate) -> PersonChanged:
    """The person with the external ids in columns `external_id:<source>`."""
    for name, value in cells.items():
        if not name.startswith("external_id:"):
            continue
        source = name.partition(":")[2]
        mine = [each for each in person.external_ids if each.source == source]
        rest = [each for each in person.external_ids if each.source != source]
        desired = {value: ExternalId(source=source, external_id=value)}
        held = _replace_from(mine, desired, lambda e: e.external_id, moment, always=moment.since is None)
        if held != mine:
            person = person.model_copy(update={"external_ids": [*rest, *held]})
    return person


def with_attributes(person: PersonChanged, cells: dict[str, str], moment: EffectiveDate) -> PersonChanged:
    """The person with the attributes in columns `hire_date` and `attribute:<name>`. Raises LineRejected for a bad date."""
    hired = parse_day(cells, "hire_date")
    if hired:
        rest = [each for each in person.attributes if each.name != "hire_date"]
        desired = PersonAttribute(name="hire_date", value=hired.isoformat())
        if [each for each in person.attributes if each.name == "hire_date"] != [desired]:
            person = person.model_copy(update={"attributes": [*rest, desired]})
    for column, cell in cells.items():
        if not column.startswith("attribute:"):
            continue
        name = column.partition(":")[2]
        values = [value.strip() for value in cell.split("|") if value.strip()]
        mine = [each for each in person.attributes if each.name == name]
        rest = [each for each in person.attributes if each.name != name]
        held = _replace_from(
            mine, {value: PersonAttribute(name=name, value=value) for value in values}, lambda e: e.value, moment
        )
        if held != mine:
            person = person.model_copy(update={"attributes": [*rest, *held]})
    return person


def _replace_from(
    entries: list[_Entry],
    desired: Mapping[Any, _Entry],
    key: Callable[[_Entry], Any],
    moment: EffectiveDate,
    *,
    always: bool = False,
) -> list[_Entry]:
    """The entries, changed so that from the effective day on exactly `desired` (by `key`) hold, until the next planned entry. An entry
    that is the first ever has no start date unless the line names one; with `always` that goes for every new key."""
    day = moment.day
    result: list[_Entry] = []
    holding: set[Any] = set()
    for each in entries:
        if not each.holds_on(day) or key(each) in desired:
            result.append(each)
            if each.holds_on(day):
                holding.add(key(each))
        elif each.valid_from != day:
            result.append(each.model_copy(update={"valid_until": day}))
    planned = [each.valid_from for each in entries if each.valid_from and each.valid_from > day]
    known = {key(each) for each in entries}
    for name, entry in desired.items():
        if name not in holding:
            start = moment.since if not entries or (always and name not in known) else day
            dates = {"valid_from": start, "valid_until": min(planned, default=None)}
            result.append(entry.model_copy(update=dates))
    return result
