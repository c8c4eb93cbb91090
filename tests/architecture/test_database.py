"""The wall between tenants and between services, read from the catalogue of a database with every service in it."""

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.rows import dict_row
from servicekit import Service
from storage import report_views, schema_name
from storage.tables import PLATFORM_TABLES, RLS_EXEMPT
from testkit import Cluster

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

Row = dict[str, Any]


class Catalogue:
    def __init__(self, connection: psycopg.Connection[Row], names: Sequence[str]) -> None:
        self._connection = connection
        self.services = list(names)

    def ask(self, query: LiteralString, *parameters: Any) -> list[Row]:
        return self._connection.execute(query, parameters).fetchall()


@pytest.fixture(scope="module")
def catalogue(cluster: Cluster, services: Sequence[Service]) -> Iterator[Catalogue]:
    with cluster.database(services) as database:
        dsn = cluster.server.url(database=database).replace("+psycopg", "")
        with psycopg.Connection[Row].connect(dsn, row_factory=dict_row) as connection:
            yield Catalogue(connection, [schema_name(service.name) for service in services])


@pytest.fixture(scope="module")
def walled(catalogue: Catalogue) -> list[Row]:
    """Every table that holds what belongs to tenants."""
    return [row for row in catalogue.ask(_TABLES, catalogue.services) if row["name"] not in RLS_EXEMPT]


def named(rows: list[Row]) -> list[str]:
    return [f"{row['schema']}.{row['name']}" for row in rows]


def test_every_service_has_its_own_tables_and_those_that_all_have(catalogue: Catalogue, walled: list[Row]) -> None:
    found = set(named(catalogue.ask(_TABLES, catalogue.services)))
    assert {f"{service}.{table}" for service in catalogue.services for table in PLATFORM_TABLES.tables} <= found
    assert {row["schema"] for row in walled if row["name"] not in PLATFORM_TABLES.tables} == set(catalogue.services)


def test_row_level_security_is_forced_on_every_table(walled: list[Row]) -> None:
    assert named([row for row in walled if not (row["enabled"] and row["forced"])]) == []


def test_one_policy_walls_off_every_command_for_everybody(walled: list[Row]) -> None:
    for row in walled:
        (policy,) = row["policies"] or [None]
        assert policy, f"{named([row])[0]} has no policy"
        assert (policy["name"], policy["permissive"], policy["command"], policy["to"]) == (
            "tenant_wall",
            True,
            "*",
            "{0}",
        )
        assert policy["using"] == policy["check"], named([row])
        assert "uplift.tenants" in policy["using"], named([row])
    assert len({row["policies"][0]["using"] for row in walled}) == 1, "one wording of the wall everywhere"


def test_every_row_has_a_tenant(walled: list[Row]) -> None:
    assert named([row for row in walled if row["tenant"] != "text"]) == [], "no column `tenant text NOT NULL`"


def test_no_key_reaches_over_the_wall(catalogue: Catalogue) -> None:
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
    ours = [row for row in found if row["name"] not in RLS_EXEMPT | {"dead_letter"}]
    assert [f"{row['schema']}.{row['name']}: {row['key']}" for row in ours] == []


def test_nothing_looks_at_rows_from_outside_the_wall(catalogue: Catalogue) -> None:
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
    assert named(copies + functions) == []


def test_views_are_report_views_behind_both_walls(catalogue: Catalogue) -> None:
    """A view reads its table as its owner, a service's role, on which row-level security is forced. Readers set
    `uplift.tenants` as they like, so the view compares the tenant with the role that has logged in as well."""
    views = catalogue.ask(
        "SELECT n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, c.reloptions AS options, "
        "pg_get_viewdef(c.oid) AS query, ARRAY(SELECT DISTINCT t.relname::text FROM pg_rewrite r "
        "JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass "
        "JOIN pg_class t ON t.oid = d.refobjid WHERE r.ev_class = c.oid AND t.oid <> c.oid) AS tables "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v' AND n.nspname = ANY(%s)",
        catalogue.services,
    )
    assert named([row for row in views if not row["name"].startswith(report_views.PREFIX)]) == []
    assert {row["schema"] for row in views} == {"kpi_engine", "training", "gamification"}
    for row in views:
        assert row["owner"] == row["schema"], named([row])
        assert row["options"] == ["security_barrier=true"], named([row])
        assert len(row["tables"]) == 1, f"{named([row])}: each table needs its own comparison with the reader's tenant"
        assert not RLS_EXEMPT & set(row["tables"]), named([row])
        wall = "WHERE (tenant = \"substring\"((SESSION_USER)::text, '^reader_(.+)$'::text))"
        assert wall in row["query"].replace("((tenant", "(tenant"), row["query"]
        assert " OR " not in row["query"], named([row])


def test_roles_cannot_climb_over_the_wall(catalogue: Catalogue) -> None:
    roles = catalogue.ask("SELECT * FROM pg_roles WHERE rolname = ANY(%s)", catalogue.services)
    assert {role["rolname"] for role in roles} == set(catalogue.services)
    for role in roles:
        for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"):
            assert not role[power], (role["rolname"], power)
    members = catalogue.ask(
        "SELECT pg_get_userbyid(member) AS member, pg_get_userbyid(roleid) AS of FROM pg_auth_members "
        "WHERE pg_get_userbyid(member) = ANY(%s)",
        catalogue.services,
    )
    assert members == []


def test_a_service_owns_its_schema_and_may_not_enter_another(catalogue: Catalogue) -> None:
    owners = catalogue.ask(_TABLES, catalogue.services)
    assert [row for row in owners if row["owner"] != row["schema"]] == []
    entered = catalogue.ask(
        "SELECT r.rolname AS role, n.nspname AS schema FROM pg_roles r CROSS JOIN pg_namespace n "
        "WHERE r.rolname = ANY(%s) AND n.nspname = ANY(%s) AND r.rolname <> n.nspname "
        "AND (has_schema_privilege(r.oid, n.oid, 'USAGE') OR has_schema_privilege(r.oid, n.oid, 'CREATE'))",
        catalogue.services,
        catalogue.services,
    )
    assert entered == []
    granted = catalogue.ask(
        "SELECT r.rolname AS role, n.nspname AS schema, c.relname AS name FROM pg_roles r CROSS JOIN pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rolname = ANY(%s) AND n.nspname = ANY(%s) "
        "AND r.rolname <> n.nspname AND c.relkind IN ('r', 'p') "
        "AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
        catalogue.services,
        catalogue.services,
    )
    assert granted == []
