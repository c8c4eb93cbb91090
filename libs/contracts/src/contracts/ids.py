"""New ids are UUIDv7, which sort by the time they were made. Derived ids are UUIDv5 of what identifies a thing."""

from uuid import UUID, uuid5

import uuid_utils

_NAMESPACE = UUID("6f0a1c52-3d2b-5e0f-9a60-7570746c6966")


def new_id() -> UUID:
    """A new UUIDv7."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def derived_id(*parts: object) -> UUID:
    """The same parts always give the same id, so that an effect can be recognised when it is repeated."""
    return uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
