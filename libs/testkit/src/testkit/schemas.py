"""Schemas as today's code describes them, without revisions; and a schema's catalogue, to compare two of them."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import psycopg
from servicekit import Service
from servicekit.wiring import LOG_TABLE_MIGRATIONS
from sqlalchemy import Connection, MetaData, text
from storage import Migrations, schema_name
from storage.tables import PLATFORM_TABLES, RLS_EXEMPT, TENANT_POLICY

EMBEDDED_SCHEMAS = ("broker", "oidc")
"""The schemas of the embedded shape that belong to no service: the log table's and the identity provider's."""


@dataclass(frozen=True)
class DescribedSchema:
    """A schema's revisions, and its own tables as today's code describes them. `tables` is None where only revisions describe
    them."""

    migrations: Migrations
    tables: MetaData | None

    @property
    def all_tables(self) -> list[MetaData]:
        """The tables that every service has, where this schema has them, and then its own."""
        own = [self.tables] if self.tables else []
        return [PLATFORM_TABLES, *own] if self.migrations.has_platform_tables else own


def describe_schema(name: str) -> DescribedSchema:
    """The schema of a service, or one of EMBEDDED_SCHEMAS, by its name."""
    if name == "broker":
        return DescribedSchema(LOG_TABLE_MIGRATIONS, None)
    if name == "oidc":
        provider = import_module("dev_idp")
        return DescribedSchema(provider.MIGRATIONS, import_module("dev_idp.store").metadata)
    service: Service = import_module(f"{schema_name(name)}.service").service
    return DescribedSchema(service.migrations, find_tables(service))


def find_tables(service: Service) -> MetaData:
    """The service's own tables: `tables` in its `store`, or in `store.tables` where that is a package."""
    store = import_module(f"{schema_name(service.name)}.store")
    found: Any = getattr(store, "tables", None) or import_module(f"{store.__name__}.tables")
    return found.tables if isinstance(found, ModuleType) else found


def render_tenant_policy(table: str) -> list[str]:
    """The statements for row-level security of a table; empty for a table that is exempt from it."""
    if table in RLS_EXEMPT:
        return []
    return [
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
        f'CREATE POLICY tenant_wall ON "{table}" USING ({TENANT_POLICY}) WITH CHECK ({TENANT_POLICY})',
    ]


def create_tables(connection: Connection, *tables: MetaData, walled: bool = True) -> None:
    """Creates the tables in the connection's schema, under row-level security if `walled`."""
    for metadata in tables:
        metadata.create_all(connection, checkfirst=False)
        for table in metadata.tables:
            for statement in render_tenant_policy(table) if walled else ():
                connection.execute(text(statement))


_CATALOGUE = r"""
WITH place AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = %(schema)s),
relation AS (
    SELECT c.* FROM pg_class c JOIN place ON place.oid = c.relnamespace
    WHERE c.relname <> ALL (ARRAY['alembic_version', 'storage_version', 'alembic_version_pkc', 'storage_version_pkc'])
)
SELECT 'schema' AS thing, concat_ws(' ', nspowner::regrole, nspacl) AS is FROM place
UNION ALL SELECT concat('relation ', relname), concat_ws(' ', relkind, relowner::regrole, relpersistence,
    'row security', relrowsecurity, relforcerowsecurity, reloptions, 'granted', relacl) FROM relation WHERE relkind NOT IN ('i', 'I')
UNION ALL SELECT concat('column ', relname, '.', attname), concat_ws(' ', format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'not null' END, 'default', regexp_replace(pg_get_expr(adbin, adrelid),
    '^''(-?[0-9.]+)''::[a-z]+$', '\1'), attidentity::text, attgenerated::text, attcollation::regcollation, attacl)
    FROM relation JOIN pg_attribute ON attrelid = relation.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm')
UNION ALL SELECT concat('constraint ', relname, '.', conname), pg_get_constraintdef(k.oid)
    FROM relation JOIN pg_constraint k ON conrelid = relation.oid
UNION ALL SELECT concat('index ', relname), pg_get_indexdef(oid) FROM relation WHERE relkind IN ('i', 'I')
UNION ALL SELECT concat('policy ', relname, '.', polname), concat_ws(' ', polpermissive, polcmd, polroles,
    'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
    FROM relation JOIN pg_policy ON polrelid = relation.oid
UNION ALL SELECT concat('trigger ', relname, '.', tgname), concat(pg_get_triggerdef(t.oid), ' ', tgenabled)
    FROM relation JOIN pg_trigger t ON tgrelid = relation.oid WHERE NOT tgisinternal
UNION ALL SELECT concat('function ', p.oid::regprocedure),
    concat_ws(' ', regexp_replace(pg_get_functiondef(p.oid), '\s+', ' ', 'g'), proowner::regrole, proacl)
    FROM pg_proc p JOIN place ON place.oid = pronamespace
UNION ALL SELECT concat('sequence ', relname), concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin,
    seqcache, seqcycle) FROM relation JOIN pg_sequence ON seqrelid = relation.oid
UNION ALL SELECT concat('view ', relname), pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
UNION ALL SELECT concat('type ', typname), concat_ws(' ', typtype, typowner::regrole)
    FROM pg_type JOIN place ON place.oid = typnamespace WHERE typtype NOT IN ('c', 'b')
UNION ALL SELECT concat('default grant ', defaclobjtype), defaclacl::text
    FROM pg_default_acl JOIN place ON place.oid = defaclnamespace
"""


def load_catalogue(connection: psycopg.Connection[Any], schema: str) -> dict[str, str]:
    """Everything in a schema, with its definition: tables, columns, keys, indexes, policies, triggers, functions, grants.

    The order of columns is left out, because a revision can only add a column at the end.
    """
    return dict(connection.execute(_CATALOGUE, {"schema": schema}).fetchall())


def find_differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """A line for each thing that differs between two catalogues."""
    return [
        f"{thing}: {found.get(thing, 'missing')}; it should be: {expected.get(thing, 'missing')}"
        for thing in sorted(found.keys() | expected.keys())
        if found.get(thing) != expected.get(thing)
    ]
