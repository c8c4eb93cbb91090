"""Translates the database's integrity errors into problems."""

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from storage import Sessions

from servicekit.errors import Conflict, Invalid, Problem

# A unique constraint has an index of the same name. The tenant column is left out, since the caller did not choose it.
_COLUMNS = """
SELECT a.attname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE c.relname = :index AND c.relnamespace = current_schema()::regnamespace AND a.attname <> 'tenant' ORDER BY a.attnum
"""


async def translate_integrity_error(error: IntegrityError, sessions: Sessions) -> Problem | None:
    """The problem for a violated constraint: Conflict for a unique, exclusion or foreign key constraint, Invalid for a check
    constraint. None for others, which are bugs."""
    diagnosis, state = getattr(error.orig, "diag", None), getattr(error.orig, "sqlstate", None)
    table = str(getattr(diagnosis, "table_name", None) or "row").replace("_", " ")
    if state in ("23505", "23P01"):
        async with sessions.system_transaction() as connection:
            index = {"index": getattr(diagnosis, "constraint_name", None)}
            columns = list(await connection.scalars(text(_COLUMNS), index))
        by = f" with the same {' and '.join(f'`{each}`' for each in columns)}" if columns else ""
        return Conflict("there-already", f"There is a {table}{by} already. Change that one, or choose another.")
    if state == "23503":
        return Conflict("still-referred-to", f"A {table} refers to what is not there, or is still referred to.")
    if state == "23514":
        return Invalid("unstorable-value", f"A value is not one that a {table} can hold.")
    return None
