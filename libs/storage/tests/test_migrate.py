"""A schema is brought to its newest revision, whoever asks, however often, at the same time."""

import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError
from storage import PLATFORM, Migrations, UnknownRevision, ensure_schema, migrate
from storage.tables import PLATFORM_TABLES
from testkit import Cluster
from testkit.schemas import load_catalogue

FIRST = "2026_11_23_0900_first"
SECOND = "2026_11_24_0900_second"
_numbers = count()


class Folder:
    """A service's package of migrations, on disk as it would be installed."""

    def __init__(self, root: Path) -> None:
        self.package = f"some_service_{next(_numbers)}"  # Python remembers packages by name
        self.versions = root / self.package / "versions"
        self.versions.mkdir(parents=True)
        (self.versions.parent / "__init__.py").touch()
        self.migrations = Migrations("kpi-engine", self.package)

    def add(self, revision: str, after: str | None, body: str) -> None:
        (self.versions / f"{revision}.py").write_text(
            f"from alembic import op\nrevision = {revision!r}\ndown_revision = {after!r}\ndef upgrade():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Folder(tmp_path)
    made.add(FIRST, None, 'op.execute("CREATE TABLE thing (tenant text PRIMARY KEY)")')
    return made


def add_second(folder: Folder) -> None:
    folder.add(
        SECOND,
        FIRST,
        'op.execute("CREATE TABLE extra (tenant text, id int, PRIMARY KEY (tenant, id))")',
    )


class Place:
    """An empty database, and how the service and the administrator reach it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        settings = cluster.settings(name)
        self.url = settings.database_url.replace("{role}", "kpi_engine")
        self.admin_url = cast(str, settings.admin_database_url)

    def prepare(self) -> None:
        ensure_schema(self.admin_url, "kpi-engine", role="kpi_engine")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.admin_url.replace("+psycopg", "")) as connection:
            return connection.execute(statement).fetchall()  # pyright: ignore

    def do(self, statement: str) -> None:
        with psycopg.connect(self.admin_url.replace("+psycopg", "")) as connection:
            connection.execute(statement)  # pyright: ignore

    def catalogue(self) -> dict[str, str]:
        with psycopg.connect(self.admin_url.replace("+psycopg", "")) as connection:
            return load_catalogue(connection, "kpi_engine")

    def tables(self) -> set[str]:
        found = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'kpi_engine'")
        return {name for (name,) in found}


@pytest.fixture
def place(cluster: Cluster, empty_database: str) -> Place:
    made = Place(cluster, empty_database)
    made.prepare()
    return made


def test_a_fresh_schema_gets_every_table(place: Place, folder: Folder) -> None:
    add_second(folder)
    assert migrate(place.url, folder.migrations) == SECOND
    assert place.tables() == set(PLATFORM_TABLES.tables) | {"alembic_version", "storage_version", "thing", "extra"}


def test_the_second_time_nothing_is_even_loaded(place: Place, folder: Folder) -> None:
    migrate(place.url, folder.migrations)
    (folder.versions / f"{FIRST}.py").write_text("raise RuntimeError('loaded')")
    assert migrate(place.url, folder.migrations) == FIRST


def test_a_later_revision_keeps_what_is_there(place: Place, folder: Folder) -> None:
    migrate(place.url, folder.migrations)
    place.ask("INSERT INTO kpi_engine.consumer_offset VALUES ('legs', 0, 7) RETURNING 1")
    add_second(folder)
    assert migrate(place.url, folder.migrations) == SECOND
    assert place.ask("SELECT next FROM kpi_engine.consumer_offset") == [(7,)]


AS_GROWN = """
DROP TABLE storage_version;
ALTER TABLE due_item ADD COLUMN lease uuid, ADD COLUMN leased_until timestamptz;
CREATE INDEX ix_due_item_tenant ON due_item (tenant, at);
CREATE TABLE directory_version (tenant text, key text, version bigint NOT NULL, erased boolean NOT NULL,
    PRIMARY KEY (tenant, key));
ALTER TABLE directory_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_wall ON directory_version
    USING (tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[]))
    WITH CHECK (tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[]));
INSERT INTO outbox (topic, partition, key, headers) VALUES ('legs', 0, 'k', '{}');
"""


def test_shared_tables_from_before_they_had_revisions_are_taken_over(place: Place, folder: Folder) -> None:
    """However far they had grown by themselves."""
    migrate(place.url, folder.migrations)
    fresh = place.catalogue()
    place.do("DROP SCHEMA kpi_engine CASCADE")
    place.prepare()
    migrate(place.url, folder.migrations, platform=PLATFORM.revisions()[0])
    assert place.catalogue() != fresh
    place.do(f"SET search_path TO kpi_engine; SET ROLE kpi_engine; {AS_GROWN}")
    migrate(place.url, folder.migrations)
    assert place.catalogue() == fresh
    assert place.ask("SELECT tenant, topic FROM kpi_engine.outbox") == [("", "legs")]
    assert place.ask("SELECT version_num FROM kpi_engine.storage_version") == [(PLATFORM.head(),)]


def test_a_schema_of_a_newer_version_is_refused(place: Place, folder: Folder) -> None:
    migrate(place.url, folder.migrations)
    for table, name in (("alembic_version", "kpi-engine"), ("storage_version", "every service")):
        place.do(f"UPDATE kpi_engine.{table} SET version_num = '2099_01_01_0900_later'")
        with pytest.raises(UnknownRevision, match=f"{name} is at revision 2099_01_01_0900_later"):
            migrate(place.url, folder.migrations)
        place.do(f"DELETE FROM kpi_engine.{table}")
        place.do(f"INSERT INTO kpi_engine.{table} VALUES ('{FIRST if name == 'kpi-engine' else PLATFORM.head()}')")


def test_a_revision_that_fails_leaves_nothing_behind(place: Place, folder: Folder) -> None:
    migrate(place.url, folder.migrations)
    folder.add(SECOND, FIRST, 'op.execute("CREATE TABLE half (x int)")\nop.execute("SELECT nonsense")')
    with pytest.raises(ProgrammingError):
        migrate(place.url, folder.migrations)
    assert "half" not in place.tables()
    assert place.ask("SELECT version_num FROM kpi_engine.alembic_version") == [(FIRST,)]


def test_many_at_once_do_it_once(cluster: Cluster, empty_database: str, folder: Folder) -> None:
    add_second(folder)
    place = Place(cluster, empty_database)

    def start(_: int) -> str | None:
        place.prepare()
        return migrate(place.url, folder.migrations)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(4))) == [SECOND] * 4
    assert "extra" in place.tables()


def test_the_role_has_its_own_schema_and_no_more(place: Place) -> None:
    place.prepare()
    ensure_schema(place.admin_url, "ingest", role="ingest")
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as connection:
        for refused in (
            "CREATE TABLE ingest.x (a int)",
            "CREATE TABLE public.x (a int)",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "ALTER ROLE kpi_engine BYPASSRLS",
            "SET ROLE ingest",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)  # pyright: ignore


def test_a_password_is_set_and_changed(place: Place) -> None:
    for password in ("it's", "other"):
        ensure_schema(place.admin_url, "kpi-engine", role="guarded", password=password)
        ((stored,),) = place.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'guarded'")
        assert str(stored).startswith("SCRAM-SHA-256$")


def test_an_administrator_without_superuser_rights_sets_up_a_service(cluster: Cluster, empty_database: str) -> None:
    """As of a managed PostgreSQL. It may become the service's role and does not inherit its rights."""
    admin, role = f"admin_{empty_database}", f"service_{empty_database}"
    with psycopg.connect(cluster.server.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{admin}" LOGIN CREATEROLE'.encode())
        connection.execute(f'ALTER DATABASE "{empty_database}" OWNER TO "{admin}"'.encode())
    for _ in range(2):
        ensure_schema(cluster.server.url(admin, empty_database), "kpi-engine", role=role, password="secret")
    with psycopg.connect(cluster.server.dsn, dbname=empty_database) as connection:
        owner = connection.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'kpi_engine'")
        assert owner.fetchone() == (role,)
        rights = connection.execute(
            "SELECT pg_has_role(%s, %s, 'SET'), pg_has_role(%s, %s, 'USAGE')", [admin, role] * 2
        )
        assert rights.fetchone() == (True, False)
