"""Ids of ours are UUIDv7: they sort by time. Derived ids are UUIDv5 of the parts that make a thing itself."""

from uuid import UUID, uuid5

import uuid_utils

_NAMESPACE = UUID("6f0a1c52-3d2b-5e0f-9a60-7570746c6966")


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def derived_id(*parts: object) -> UUID:
    """The same parts always give the same id, so that an effect can be recognised when it is repeated."""
    return uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
