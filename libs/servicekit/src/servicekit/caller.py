"""Who is calling: a person or a machine client of one tenant, with the roles the directory gives them now."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Self
from uuid import UUID

from contracts.directory import PersonChanged, RoleGrant

from servicekit.errors import Forbidden


@dataclass(frozen=True)
class Caller:
    """`today` is the workday that it is for the caller, where they work; `roles` are those in force on it."""

    tenant: str
    person: PersonChanged
    roles: tuple[RoleGrant, ...]
    today: date

    @property
    def person_id(self) -> UUID:
        return self.person.id

    def has_role(self, *roles: str) -> bool:
        """Whether the caller has one of these roles, over whatever org unit."""
        return any(grant.role in roles for grant in self.roles)

    def require_role(self, *roles: str, whole_tenant: bool = False) -> None:
        """Raises Forbidden unless the caller has one of these roles, with `whole_tenant` not only over an org unit."""
        if not self.has_role(*roles):
            raise Forbidden("role-needed", f"This needs the role {' or '.join(roles)}.")
        if whole_tenant and not self.has_role_everywhere(*roles):
            raise Forbidden("role-of-a-unit", "This takes the role in the whole tenant; yours is over an org unit.")

    def acting_as(self, *roles: str) -> Self:
        """The caller with nothing but these roles: what one role opens in one org unit, another role that is held over
        another unit does not open there."""
        return replace(self, roles=tuple(grant for grant in self.roles if grant.role in roles))

    def has_role_everywhere(self, *roles: str) -> bool:
        """Whether the caller has one of these roles in the whole tenant."""
        return any(grant.role in roles and grant.org_unit_id is None for grant in self.roles)
