"""Builders of directory states. Ids are derived from slugs, so that a test can refer to things before it builds them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts import derived_id
from contracts.directory import (
    ExternalId,
    Login,
    Membership,
    OrgUnitChanged,
    PersonAttribute,
    PersonChanged,
    RoleGrant,
    TenantChanged,
)

from testkit.tokens import ISSUER


def person_id(slug: str) -> UUID:
    """The id of the person that `person(slug)` builds."""
    return derived_id("test person", slug)


def unit_id(slug: str) -> UUID:
    """The id of the org unit that `org_unit(slug)` builds."""
    return derived_id("test unit", slug)


def tenant(slug: str, **fields: Any) -> TenantChanged:
    """A tenant. `fields` are those of the event."""
    return TenantChanged(slug=slug, name=slug.title(), **fields)


def org_unit(slug: str, *, parent: str | Sequence[str] = (), kind: str = "team", **fields: Any) -> OrgUnitChanged:
    """An org unit. `parent` is the slug of the unit above it, or the slugs of all above it, from the root."""
    above = [parent] if isinstance(parent, str) else list(parent)
    path = [unit_id(each) for each in [*above, slug]]
    return OrgUnitChanged(
        id=unit_id(slug),
        slug=slug,
        name=slug.title(),
        kind=kind,
        parent_id=path[-2] if above else None,
        path=path,
        **fields,
    )


def person(
    slug: str,
    *,
    roles: Sequence[str | tuple[str, str]] = ("agent",),
    team: str | None = None,
    external: Mapping[str, str] | None = None,
    attributes: Mapping[str, str] | None = None,
    since: date | None = None,
    **fields: Any,
) -> PersonChanged:
    """A person whose login has the slug as its sub. `roles` are names, or pairs of a name and an org unit's slug. `external`
    holds external ids by source. The membership of `team` begins on the day `since`."""
    pairs = [(each, None) if isinstance(each, str) else each for each in roles]
    return PersonChanged(
        id=person_id(slug),
        slug=slug,
        display_name=fields.pop("display_name", slug.title()),
        logins=[Login(iss=ISSUER, sub=slug)],
        external_ids=[ExternalId(source=source, external_id=each) for source, each in (external or {}).items()],
        memberships=[Membership(org_unit_id=unit_id(team), valid_from=since)] if team else [],
        attributes=[PersonAttribute(name=name, value=value) for name, value in (attributes or {}).items()],
        roles=[RoleGrant(role=role, org_unit_id=unit_id(unit) if unit else None) for role, unit in pairs],  # pyright: ignore[reportArgumentType]
        **fields,
    )


def person_after_move(slug: str, before: str, after: str, on: date, **fields: Any) -> PersonChanged:
    """A person who is in team `before` up to the day before `on`, and in team `after` from `on`."""
    memberships = [
        Membership(org_unit_id=unit_id(before), valid_until=on),
        Membership(org_unit_id=unit_id(after), valid_from=on),
    ]
    return person(slug, **fields).model_copy(update={"memberships": memberships})


def parse_instant(text: str) -> datetime:
    """An instant from ISO 8601 text, such as `2026-03-02T08:00Z`. Raises ValueError."""
    return datetime.fromisoformat(text)
