"""Who may do what."""

from servicekit import Caller


def may_send(caller: Caller) -> None:
    """Machine clients and tenant administrators send records and configure sources."""
    caller.require("integration", "tenant_admin")


def may_read(caller: Caller) -> None:
    """Receipts, sources and what is held show customers' raw records to those who answer for them."""
    caller.require("integration", "tenant_admin", "quality_analyst", "platform_admin")


def sees_raw(caller: Caller) -> bool:
    return caller.has("integration", "tenant_admin", "quality_analyst")
