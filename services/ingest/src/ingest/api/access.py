"""Who may do what.

Receipts, raw records and what is held are of a whole tenant: a file knows no teams. So they are for those who have their
role in all of it. A role over an org unit opens the interactions of its people only, without the raw records, which may tell
of others.
"""

from servicekit import Caller
from servicekit.errors import Forbidden


def _throughout(caller: Caller, *roles: str) -> bool:
    return any(grant.role in roles and grant.org_unit_id is None for grant in caller.roles)


def _require(caller: Caller, *roles: str) -> None:
    caller.require(*roles)
    if not _throughout(caller, *roles):
        raise Forbidden("role-of-a-unit", "This takes the role in the whole tenant; yours is over an org unit.")


def may_send(caller: Caller) -> None:
    """Machine clients and tenant administrators send records and configure sources."""
    _require(caller, "integration", "tenant_admin")


def may_read(caller: Caller) -> None:
    """Receipts, sources and what is held show customers' raw records to those who answer for them."""
    _require(caller, "integration", "tenant_admin", "quality_analyst", "platform_admin")


def sees_raw(caller: Caller) -> bool:
    return _throughout(caller, "integration", "tenant_admin", "quality_analyst")
