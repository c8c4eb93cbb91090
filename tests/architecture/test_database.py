"""The wall between tenants and between services, read from the catalogue of a database with every service in it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.rows import dict_row
from servicekit import Service
from storage import report_views, schema_name
from storage.tables import PLATFORM_TABLES, RLS_EXEMPT
from testkit import Cluster
from testkit.schemas import describe_schema

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       pg_get_userbyid(c.relowner) AS owner,
       (SELECT jsonb_agg(jsonb_build_object('name', p.polname, 'permissive', p.polpermissive, 'command', p.polcmd,
               'to', p.polroles::text, 'using', pg_get_expr(p.polqual, p.polrelid),
               'check', pg_get_expr(p.polwithcheck, p.polrelid)))
        FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
       (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped AND a.attnotnull) AS tenant
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s) ORDER BY 1, 2
"""
_READERS_WALL = "WHERE (tenant = \"substring\"((SESSION_USER)::text, '^reader_(.+)$'::text))"

Row = dict[str, Any]


class Catalogue:
    """The catalogue of a database. `services`: the names of the services' schemas and roles."""

    def __init__(self, connection: psycopg.Connection[Row], names: Sequence[str]) -> None:
        self.connection = connection
        self.services = list(names)

    def ask(self, query: LiteralString, *parameters: Any) -> list[Row]:
        return self.connection.execute(query, parameters).fetchall()

    def tables(self) -> list[Row]:
        return self.ask(_TABLES, self.services)

    def walled(self) -> list[Row]:
        """Every table that holds what belongs to tenants."""
        return [row for row in self.tables() if row["name"] not in RLS_EXEMPT]


@pytest.fixture(scope="module")
def catalogue(cluster: Cluster, services: Sequence[Service]) -> Iterator[Catalogue]:
    with cluster.database(services) as database:
        dsn = cluster.server.url(database=database).replace("+psycopg", "")
        with psycopg.Connection[Row].connect(dsn, row_factory=dict_row) as connection:
            yield Catalogue(connection, [schema_name(service.name) for service in services])


def named(rows: list[Row]) -> list[str]:
    return [f"{row['schema']}.{row['name']}" for row in rows]


def test_every_service_has_its_own_tables_and_those_that_all_have(catalogue: Catalogue) -> None:
    found = set(named(catalogue.tables()))
    assert {f"{service}.{table}" for service in catalogue.services for table in PLATFORM_TABLES.tables} <= found
    own = {row["schema"] for row in catalogue.walled() if row["name"] not in PLATFORM_TABLES.tables}
    assert own == set(catalogue.services)


def find_unforced_tables(catalogue: Catalogue) -> list[str]:
    """Tables on which row-level security is off, or does not bind the owner."""
    return named([row for row in catalogue.walled() if not (row["enabled"] and row["forced"])])


def find_wrong_walls(catalogue: Catalogue) -> list[str]:
    """Tables that have another policy than the one wall, for every command and everybody, worded as on most tables."""
    walled = catalogue.walled()
    wordings = [row["policies"][0]["using"] for row in walled if row["policies"]]
    usual = max(sorted(set(wordings)), key=wordings.count)
    assert "uplift.tenants" in usual
    wall = {
        "name": "tenant_wall", "permissive": True, "command": "*", "to": "{0}", "using": usual, "check": usual,
    }  # fmt: skip
    return named([row for row in walled if row["policies"] != [wall]])


def find_tables_without_tenant(catalogue: Catalogue) -> list[str]:
    """Tables without a column `tenant text NOT NULL`."""
    return named([row for row in catalogue.walled() if row["tenant"] != "text"])


def find_keys_over_the_wall(catalogue: Catalogue) -> list[str]:
    """A unique key without the tenant would tell one tenant, by a refusal, what another one has."""
    found = catalogue.ask(
        "SELECT n.nspname AS schema, c.relname AS name, i.relname AS key FROM pg_index x "
        "JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE x.indisunique AND n.nspname = ANY(%s) "
        "AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' "
        "AND a.attnum = ANY(x.indkey)) ORDER BY 1, 2, 3",
        catalogue.services,
    )
    # Dead letters are filed by the place in the topic, which is the service's and not a tenant's.
    return named([row for row in found if row["name"] not in RLS_EXEMPT | {"dead_letter"}])


def find_ways_round_the_wall(catalogue: Catalogue) -> list[str]:
    """A materialized view has rows of its own, and a SECURITY DEFINER function runs as its author, past the caller's rights."""
    copies = catalogue.ask(
        "SELECT schemaname AS schema, matviewname AS name FROM pg_matviews WHERE schemaname = ANY(%s)",
        catalogue.services,
    )
    functions = catalogue.ask(
        "SELECT n.nspname AS schema, p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = ANY(%s) AND p.prosecdef",
        catalogue.services,
    )
    return named(copies + functions)


def list_views(catalogue: Catalogue) -> list[Row]:
    return catalogue.ask(
        "SELECT n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, c.reloptions AS options, "
        "pg_get_viewdef(c.oid) AS query, ARRAY(SELECT DISTINCT t.relname::text FROM pg_rewrite r "
        "JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass "
        "JOIN pg_class t ON t.oid = d.refobjid WHERE r.ev_class = c.oid AND t.oid <> c.oid) AS tables "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v' AND n.nspname = ANY(%s)",
        catalogue.services,
    )


def find_open_views(catalogue: Catalogue) -> list[str]:
    """A view reads its table as its owner, a service's role, on which row-level security is forced. Readers set
    `uplift.tenants` as they like, so the view compares the tenant with the role that has logged in as well; each table needs
    its own comparison, so a view reads one table."""

    def is_closed(row: Row) -> bool:
        return (
            row["name"].startswith(report_views.PREFIX)
            and row["owner"] == row["schema"]
            and row["options"] == ["security_barrier=true"]
            and len(row["tables"]) == 1
            and not RLS_EXEMPT & set(row["tables"])
            and _READERS_WALL in row["query"].replace("((tenant", "(tenant")
            and " OR " not in row["query"]
        )

    return named([row for row in list_views(catalogue) if not is_closed(row)])


def find_mighty_roles(catalogue: Catalogue) -> list[str]:
    """Roles of services that have a power over others, or are members of another role."""
    powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    roles = catalogue.ask("SELECT * FROM pg_roles WHERE rolname = ANY(%s)", catalogue.services)
    members = catalogue.ask(
        "SELECT pg_get_userbyid(member) AS member FROM pg_auth_members WHERE pg_get_userbyid(member) = ANY(%s)",
        catalogue.services,
    )
    mighty = [role["rolname"] for role in roles if any(role[power] for power in powers)]
    return sorted([*mighty, *(row["member"] for row in members)])


def find_strange_owners(catalogue: Catalogue) -> list[str]:
    """Tables that belong to another role than their service's."""
    return named([row for row in catalogue.tables() if row["owner"] != row["schema"]])


def find_open_doors(catalogue: Catalogue) -> list[str]:
    """Schemas and tables of a service that another service's role has a right on."""
    entered = catalogue.ask(
        "SELECT n.nspname AS schema, r.rolname AS name FROM pg_roles r CROSS JOIN pg_namespace n "
        "WHERE r.rolname = ANY(%s) AND n.nspname = ANY(%s) AND r.rolname <> n.nspname "
        "AND (has_schema_privilege(r.oid, n.oid, 'USAGE') OR has_schema_privilege(r.oid, n.oid, 'CREATE'))",
        catalogue.services,
        catalogue.services,
    )
    granted = catalogue.ask(
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_roles r CROSS JOIN pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rolname = ANY(%s) AND n.nspname = ANY(%s) "
        "AND r.rolname <> n.nspname AND c.relkind IN ('r', 'p') "
        "AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
        catalogue.services,
        catalogue.services,
    )
    return named(entered + granted)


GUARDS: dict[Callable[[Catalogue], list[str]], dict[LiteralString, list[str]]] = {
    find_unforced_tables: {
        "ALTER TABLE training.assignment NO FORCE ROW LEVEL SECURITY": ["training.assignment"],
        "ALTER TABLE training.template DISABLE ROW LEVEL SECURITY": ["training.template"],
    },
    find_wrong_walls: {
        "DROP POLICY tenant_wall ON training.assignment": ["training.assignment"],
        "ALTER POLICY tenant_wall ON training.assignment USING (true)": ["training.assignment"],
        "ALTER POLICY tenant_wall ON training.assignment TO training": ["training.assignment"],
        "CREATE POLICY gate ON training.assignment FOR SELECT USING (true)": ["training.assignment"],
    },
    find_tables_without_tenant: {
        "CREATE TABLE training.loose (id int)": ["training.loose"],
        "CREATE TABLE training.loose (tenant text)": ["training.loose"],
    },
    find_keys_over_the_wall: {
        "CREATE UNIQUE INDEX over ON training.assignment (id)": ["training.assignment"],
    },
    find_ways_round_the_wall: {
        "CREATE MATERIALIZED VIEW training.copy AS SELECT * FROM training.assignment": ["training.copy"],
        "CREATE FUNCTION training.open() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": ["training.open"],
    },
    find_open_views: {
        "CREATE VIEW training.seen AS SELECT * FROM training.assignment": ["training.seen"],
        "CREATE VIEW training.report_all WITH (security_barrier = true) AS SELECT * FROM training.assignment; "
        "ALTER VIEW training.report_all OWNER TO training": ["training.report_all"],
        "CREATE VIEW training.report_any WITH (security_barrier = true) AS SELECT id FROM training.assignment "
        "WHERE tenant = substring(session_user::text FROM '^reader_(.+)$') OR true; "
        "ALTER VIEW training.report_any OWNER TO training": ["training.report_any"],
        "ALTER VIEW gamification.report_ledger_entry SET (security_barrier = false)": [
            "gamification.report_ledger_entry"
        ],
        "ALTER VIEW gamification.report_ledger_entry OWNER TO training": ["gamification.report_ledger_entry"],
    },
    find_mighty_roles: {
        "ALTER ROLE training BYPASSRLS": ["training"],
        "ALTER ROLE training CREATEROLE": ["training"],
        "GRANT forms TO training": ["training"],
    },
    find_strange_owners: {"ALTER TABLE training.assignment OWNER TO forms": ["training.assignment"]},
    find_open_doors: {
        "GRANT USAGE ON SCHEMA forms TO training": ["forms.training"],
        "GRANT SELECT ON forms.form TO training": ["forms.form"],
        "GRANT DELETE ON forms.form TO training": ["forms.form"],
    },
}  # fmt: skip
"""Each guard, and changes that it has to find."""


@pytest.mark.parametrize("guard", GUARDS)
def test_the_wall_stands(catalogue: Catalogue, guard: Callable[[Catalogue], list[str]]) -> None:
    assert guard(catalogue) == [], guard.__doc__


@pytest.mark.parametrize(
    ("guard", "change", "found"),
    [(guard, change, found) for guard, changes in GUARDS.items() for change, found in changes.items()],
)
def test_a_hole_in_the_wall_is_found(
    catalogue: Catalogue, guard: Callable[[Catalogue], list[str]], change: LiteralString, found: list[str]
) -> None:
    with catalogue.connection.transaction(force_rollback=True):
        catalogue.connection.execute(change)
        assert guard(catalogue) == found


def test_roles_and_report_views_are_there(catalogue: Catalogue, services: Sequence[Service]) -> None:
    roles = catalogue.ask("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", catalogue.services)
    assert {role["rolname"] for role in roles} == set(catalogue.services)
    described = {each.name: describe_schema(each.name).tables for each in services}
    views = {
        f"{schema_name(name)}.{view}"
        for name, tables in described.items()
        for view in (report_views.list_report_views(tables) if tables is not None else ())
    }
    assert set(named(list_views(catalogue))) == views != set()
