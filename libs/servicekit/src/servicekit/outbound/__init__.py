"""Addresses that tenants give: which may be called, and the calling itself."""

from servicekit.outbound.addresses import UrlPolicy, is_public
from servicekit.outbound.client import AddressRefused, OutboundClient, Resolve, Unreachable, resolve

__all__ = ["AddressRefused", "OutboundClient", "Resolve", "Unreachable", "UrlPolicy", "is_public", "resolve"]
