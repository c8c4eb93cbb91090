"""Addresses that tenants give: which may be called, and the calling itself."""

from servicekit.outbound.addresses import UrlPolicy, is_public
from servicekit.outbound.sending import AddressRefused, Outbound, Resolve, Unreachable, resolve

__all__ = ["AddressRefused", "Outbound", "Resolve", "Unreachable", "UrlPolicy", "is_public", "resolve"]
