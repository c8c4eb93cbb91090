"""The use cases of identity. None commits: the doors do."""

from identity.actions.tenants import ensure_platform

__all__ = ["ensure_platform"]
