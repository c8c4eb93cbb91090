"""Who may do what.

Receipts, raw records and what is held are of a whole tenant: a file knows no teams. So they are for those who have their
role in all of it. A role over an org unit opens the interactions of its people only, without the raw records, which may tell
of others.
"""

from servicekit import Caller

SENDER_ROLES = ("integration", "tenant_admin")
"""Machine clients and tenant administrators send records and configure sources."""
READER_ROLES = (*SENDER_ROLES, "quality_analyst", "platform_admin")
"""Receipts, sources and what is held show customers' raw records to those who answer for them."""


def may_read_raw(caller: Caller) -> bool:
    return caller.has_role_everywhere("integration", "tenant_admin", "quality_analyst")
