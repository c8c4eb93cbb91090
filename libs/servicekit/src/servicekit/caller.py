"""Who is calling: a person or a machine client of one tenant, with their current roles from the directory."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Self
from uuid import UUID

from contracts.directory import PersonChanged, RoleGrant

from servicekit.errors import Forbidden


@dataclass(frozen=True)
class Caller:
    """An authenticated caller. `today`: the current workday at the site where the caller works. `roles`: the role grants
    that are valid on that day."""

    tenant: str
    person: PersonChanged
    roles: tuple[RoleGrant, ...]
    today: date

    @property
    def person_id(self) -> UUID:
        """The caller's person id."""
        return self.person.id

    def has_role(self, *roles: str) -> bool:
        """Whether the caller has one of these roles, over the tenant or any org unit."""
        return any(grant.role in roles for grant in self.roles)

    def require_role(self, *roles: str, whole_tenant: bool = False) -> None:
        """Raises Forbidden unless the caller has one of these roles. With `whole_tenant`, a role over an org unit is not
        enough."""
        if not self.has_role(*roles):
            raise Forbidden("role-needed", f"This needs the role {' or '.join(roles)}.")
        if whole_tenant and not self.has_role_everywhere(*roles):
            raise Forbidden("role-of-a-unit", "This takes the role in the whole tenant; yours is over an org unit.")

    def acting_as(self, *roles: str) -> Self:
        """The caller reduced to these roles, so that another role over another org unit grants nothing here."""
        return replace(self, roles=tuple(grant for grant in self.roles if grant.role in roles))

    def has_role_everywhere(self, *roles: str) -> bool:
        """Whether the caller has one of these roles over the whole tenant."""
        return any(grant.role in roles and grant.org_unit_id is None for grant in self.roles)
