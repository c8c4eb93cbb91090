"""A real PostgreSQL for a test run, and a new migrated database for each test that asks for one."""

import itertools
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from servicekit.service_definition import Service
from servicekit.settings import PlatformSettings
from servicekit.wiring import migrate_all
from storage.embedded import EmbeddedPostgres

_numbers = itertools.count(1)


class Cluster:
    """A PostgreSQL server. Databases are copied from a template, which the services' migrations build once."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._templates: dict[tuple[str, ...], str] = {}

    def settings(self, database: str, **overrides: object) -> PlatformSettings:
        """The settings of a service on this database. `overrides` are further fields of `PlatformSettings`."""
        return PlatformSettings(
            database_url=self.server.url("ROLE", database).replace("ROLE", "{role}"),
            admin_database_url=self.server.url(database=database),
            partitions=2,
            issuer="https://issuer.test",
            **overrides,  # pyright: ignore[reportArgumentType]
        )

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def create(self, name: str | None = None, *, template: str | None = None) -> str:
        """Creates a database, empty or as a copy of `template`. Returns its name."""
        name = name or f"t{next(_numbers)}"
        self._run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def drop(self, name: str) -> None:
        """Drops a database with its connections; does nothing where it does not exist."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def template(self, services: Sequence[Service]) -> str:
        """The name of the database with these services' migrated schemas; the first call for these services creates it."""
        names = tuple(sorted(f"{service.name} by {service.migrations.package}" for service in services))
        if names not in self._templates:
            database = self.create(f"template_{len(self._templates)}")
            migrate_all(services, self.settings(database))
            self._templates[names] = database
        return self._templates[names]

    @contextmanager
    def database(self, services: Sequence[Service] = ()) -> Generator[str]:
        """The name of a new database with these services' schemas, dropped when the block ends."""
        name = self.create(template=self.template(services) if services else None)
        try:
            yield name
        finally:
            self.drop(name)


@contextmanager
def started_cluster() -> Generator[Cluster]:
    """A server with data of its own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="uplift-pg-", ignore_cleanup_errors=True) as folder:
        with EmbeddedPostgres(Path(folder) / "data", durable=False) as server:
            yield Cluster(server)
