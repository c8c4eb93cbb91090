"""The use cases of identity. None of them commits: the doors do."""

from identity.actions.tenants import ensure_platform

__all__ = ["ensure_platform"]
