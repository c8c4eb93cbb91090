"""Calls to URLs that tenants configure: which are allowed, and the client."""

from servicekit.outbound.addresses import UrlPolicy, is_public
from servicekit.outbound.client import AddressRefused, OutboundClient, Resolve, Unreachable, resolve

__all__ = ["AddressRefused", "OutboundClient", "Resolve", "Unreachable", "UrlPolicy", "is_public", "resolve"]
