"""Report views: what a tenant's reader of the database, such as a Grafana data source, may see of a service (ADR 37).

A view belongs to the service's role. So readers need no right on the tables, and row-level security holds for the view as it
does for the service. Readers write their own SQL and can set `uplift.tenants`; the view also compares the tenant with the
name of the role that has logged in, which only a superuser can change.
"""

from typing import cast

from sqlalchemy import DDL, MetaData, Table, event

PREFIX = "report_"

READER_TENANT = "substring(session_user::text FROM '^reader_(.+)$')"
"""SQL: the tenant whose reader has logged in, as role `reader_<tenant>`; null for every other role."""


def add_report_view(table: Table, name: str, columns: str, where: str | None = None) -> None:
    """Describes a report view over a table, so that it is created with the table. `columns` and `where` are SQL.

    A revision has to create it as well, with its SQL written out (ADR 31). Raises ValueError for a name without the prefix.
    """
    if not name.startswith(PREFIX):
        raise ValueError(f"A report view's name begins with {PREFIX}: {name}")
    # A security barrier: no function of the reader's is called with a row of somebody else's.
    condition = f"tenant = {READER_TENANT}" + (f" AND {where}" if where else "")
    query = f"SELECT {columns} FROM {table.name} WHERE {condition}"  # noqa: S608
    statement = f"CREATE VIEW {name} WITH (security_barrier = true) AS {query}"
    event.listen(table, "after_create", DDL(statement.replace("%", "%%")), propagate=True)
    cast("dict[str, list[str]]", table.info).setdefault("report_views", []).append(name)


def list_report_views(tables: MetaData) -> list[str]:
    """The names of the report views that are described over these tables."""
    return [name for table in tables.sorted_tables for name in table.info.get("report_views", ())]
