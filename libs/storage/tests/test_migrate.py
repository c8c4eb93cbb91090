"""A schema is brought to its newest revision, whoever asks, however often, at the same time."""

import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError
from storage import Migrations, migrate, prepare_schema
from storage.tables import own
from testkit import Cluster

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
            f"from alembic import op\nfrom storage import create_own_tables, wall_off\nrevision = {revision!r}\n"
            f"down_revision = {after!r}\ndef upgrade():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Folder(tmp_path)
    made.add(FIRST, None, "create_own_tables(op)")
    return made


def add_second(folder: Folder) -> None:
    folder.add(
        SECOND,
        FIRST,
        """
        op.execute("CREATE TABLE extra (tenant text, id int, PRIMARY KEY (tenant, id))")
        wall_off(op.get_bind(), "extra")
        """,
    )


class Place:
    """An empty database, and how the service and the administrator reach it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        settings = cluster.settings(name)
        self.url = settings.database_url.replace("{role}", "kpi_engine")
        self.admin_url = cast(str, settings.admin_database_url)

    def prepare(self) -> None:
        prepare_schema(self.admin_url, "kpi-engine", role="kpi_engine")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.admin_url.replace("+psycopg", "")) as connection:
            return connection.execute(statement).fetchall()  # pyright: ignore

    def do(self, statement: str) -> None:
        with psycopg.connect(self.admin_url.replace("+psycopg", "")) as connection:
            connection.execute(statement)  # pyright: ignore

    def columns(self) -> set[tuple[Any, ...]]:
        return set(
            self.ask("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'kpi_engine'")
        )

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
    assert place.tables() == set(own.tables) | {"alembic_version", "extra"}


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


def test_shared_columns_that_came_later_are_added(place: Place, folder: Folder) -> None:
    migrate(place.url, folder.migrations)
    whole = place.columns()
    place.do("ALTER TABLE kpi_engine.due_item DROP COLUMN attempts, DROP COLUMN at")
    place.do("ALTER TABLE kpi_engine.directory_login DROP COLUMN person_id")
    migrate(place.url, folder.migrations)
    assert place.columns() == whole
    indexes = place.ask("SELECT indexname FROM pg_indexes WHERE schemaname = 'kpi_engine'")
    assert {("ix_due_item_at",), ("ix_directory_login_person",)} <= set(indexes)


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
    prepare_schema(place.admin_url, "ingest", role="ingest")
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
        prepare_schema(place.admin_url, "kpi-engine", role="guarded", password=password)
        ((stored,),) = place.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'guarded'")
        assert str(stored).startswith("SCRAM-SHA-256$")
