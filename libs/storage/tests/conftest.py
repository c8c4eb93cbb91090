"""A database with the tables that every service has, and one of a service's own."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Column, Engine, Table, Text, create_engine
from storage import Sessions, create_metadata, ensure_schema
from storage import create_engine as service_engine
from storage.tables import PLATFORM_TABLES
from testkit import Cluster
from testkit.schemas import create_tables

SERVICE = "training"  # only a declared writer may emit

tables = create_metadata()
note = Table(
    "note",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),
)


def connected(url: str) -> Engine:
    return create_engine(url, connect_args={"options": f"-c search_path={SERVICE} -c timezone=UTC"})


@pytest.fixture(scope="session")
def service_database(cluster: Cluster) -> Iterator[str]:
    with cluster.database() as name:
        settings = cluster.settings(name)
        ensure_schema(cast(str, settings.admin_database_url), SERVICE, role=SERVICE)
        engine = connected(settings.database_url.replace("{role}", SERVICE))
        with engine.begin() as connection:
            create_tables(connection, PLATFORM_TABLES, tables)
        engine.dispose()
        yield name


@pytest.fixture
def admin(cluster: Cluster, service_database: str) -> Iterator[psycopg.Connection[Any]]:
    """The database's administrator, whom no row-level security binds."""
    url = cluster.server.url(database=service_database).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {SERVICE}")
        yield connection


@pytest.fixture
async def sessions(cluster: Cluster, service_database: str, admin: psycopg.Connection[Any]) -> AsyncIterator[Sessions]:
    """Sessions on empty tables."""
    names = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [SERVICE]).fetchall()
    admin.execute("TRUNCATE " + ", ".join(name for (name,) in names))  # pyright: ignore
    url = cluster.settings(service_database).database_url.replace("{role}", SERVICE)
    engine = service_engine(url, schema=SERVICE)
    yield Sessions(engine, SERVICE, partitions=2)
    await engine.dispose()
