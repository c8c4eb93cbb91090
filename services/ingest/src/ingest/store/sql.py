"""What the store needs of the driver beyond `storage`: arrays as text, and deadlocks by their code."""

from collections.abc import Iterable

from sqlalchemy.exc import OperationalError


def to_pg_array(values: Iterable[str | int]) -> str:
    """An array as PostgreSQL reads it: the driver takes a microsecond for each element of a list."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: str | int) -> str:
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_deadlock(error: Exception) -> bool:
    """Whether the database gave up this transaction because two waited for each other; it may be tried again."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == "40P01"
