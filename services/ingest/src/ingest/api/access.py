"""Roles that the API asks for.

Receipts, raw records and held contacts belong to the whole tenant, because a file does not separate teams. They need a role
in the whole tenant. A role in an org unit gives access to the interactions of its people, without the raw records, which may
mention others.
"""

from servicekit import Caller

SENDER_ROLES = ("integration", "tenant_admin")
"""Machine clients and tenant administrators send records and configure sources."""
READER_ROLES = (*SENDER_ROLES, "quality_analyst", "platform_admin")
"""May read receipts, sources and held contacts, which quote customers' raw records."""


def may_read_raw(caller: Caller) -> bool:
    """Whether the caller may read raw records."""
    return caller.has_role_everywhere("integration", "tenant_admin", "quality_analyst")
