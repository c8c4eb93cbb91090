"""Alembic without an env.py per schema: each has a folder of revisions, and this runs them in its schema.

The tables that every service has are a folder of revisions of their own, with their own version table in each schema. A
revision is frozen once it is on the main branch (CONTRIBUTING.md): it holds its SQL and imports nothing that changes.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from storage.engine import schema_name
from storage.locks import lock_connection


class UnknownRevision(RuntimeError):
    """A schema is at a revision that this version of Uplift does not know: a newer version has migrated it."""


@dataclass(frozen=True)
class Migrations:
    """The revisions of one schema: those in the folder `versions` of `package`. `table` is the version table.

    `service` names the schema: it is a service, or the broker or provider of the embedded shape, which have no
    `has_platform_tables`: the tables that every service has. `first_table`: a schema that has it, and no version table, is from
    before the revisions.
    """

    service: str
    package: str
    table: str = "alembic_version"
    has_platform_tables: bool = True
    first_table: str | None = None

    @property
    def folder(self) -> Path:
        """Where the revision files are."""
        return Path(str(files(self.package))) / "versions"

    def script(self) -> ScriptDirectory:
        """Alembic's view of the revisions."""
        config = Config()
        config.set_main_option("script_location", str(self.folder.parent))
        config.set_main_option("version_locations", str(self.folder))
        config.set_main_option("path_separator", "newline")
        return ScriptDirectory.from_config(config)

    def revisions(self) -> list[str]:
        """Revision ids, the oldest first. They are the file names, `YYYY_MM_DD_HHMM_slug`, which sort by time."""
        return sorted(path.stem for path in self.folder.glob("2*.py"))

    def head(self) -> str | None:
        """The newest revision; None if there is none."""
        return max(self.revisions(), default=None)


PLATFORM = Migrations("every service", "storage.migrations", "storage_version", first_table="outbox")
"""The revisions of the tables that every service has, `storage.tables.PLATFORM_TABLES`."""


def ensure_schema(admin_url: str, service: str, *, role: str, password: str | None = None) -> None:
    """Creates the service's role and schema if they are missing, as the database's administrator."""
    schema = schema_name(service)
    engine = create_engine(admin_url)
    with engine.begin() as connection:
        lock_connection(connection, "ensure schemas")
        if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
            connection.execute(text(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOBYPASSRLS'))
        # An administrator who is no superuser, as of a managed PostgreSQL, may not give a schema to the role otherwise.
        if not connection.scalar(text("SELECT pg_has_role(:role, 'SET')"), {"role": role}):
            connection.execute(text(f'GRANT "{role}" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE'))
        if password:
            quoted = password.replace("'", "''")
            connection.execute(text(f"ALTER ROLE \"{role}\" PASSWORD '{quoted}'"))
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION "{role}"'))
    engine.dispose()


def load_current_revision(connection: Connection, table: str = Migrations.table) -> str | None:
    """The revision of the connection's schema; None if it was never migrated."""
    if not connection.scalar(text("SELECT to_regclass(:table)"), {"table": table}):
        return None
    return connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608


def migrate(url: str, migrations: Migrations, *, to: str | None = None, platform: str | None = None) -> str | None:
    """Upgrades a schema to its newest revision, as its own role. Returns the revision.

    `to` and `platform` name a revision other than the newest, of the schema's own and of the shared tables. No script is
    loaded when the schema is up to date. Raises UnknownRevision.
    """
    engine = create_engine(
        url, connect_args={"options": f"-c search_path={schema_name(migrations.service)} -c timezone=UTC"}
    )
    try:
        with engine.begin() as connection:
            lock_connection(connection, f"{migrations.service} migrations")
            if migrations.has_platform_tables:
                _ensure_revision(connection, PLATFORM, platform)
            return _ensure_revision(connection, migrations, to)
    finally:
        engine.dispose()


def _stamp_unversioned(connection: Connection, migrations: Migrations) -> None:
    """Marks a schema from before it had revisions as at the first one. The second adds what is missing."""
    if load_current_revision(connection, migrations.table) or not connection.scalar(
        text("SELECT to_regclass(:table)"), {"table": migrations.first_table}
    ):
        return
    context = MigrationContext.configure(connection, opts={"version_table": migrations.table})
    context.stamp(migrations.script(), migrations.revisions()[0])


def _ensure_revision(connection: Connection, migrations: Migrations, to: str | None) -> str | None:
    if migrations.first_table:
        _stamp_unversioned(connection, migrations)
    target, current = to or migrations.head(), load_current_revision(connection, migrations.table)
    if current != target:
        _check_known(current, migrations.revisions(), migrations.service)
        _upgrade(connection, migrations, target or "head")
    return load_current_revision(connection, migrations.table)


def _check_known(current: str | None, known: list[str], service: str) -> None:
    if current is not None and current not in known:
        raise UnknownRevision(
            f"The schema of {service} is at revision {current}, which this version of Uplift does not know: a newer one "
            "has made it. Run that version, or restore a backup from before."
        )


def _upgrade(connection: Connection, migrations: Migrations, to: str) -> None:
    script = migrations.script()

    def steps(revision: Any, context: MigrationContext) -> Any:
        return script._upgrade_revs(to, revision)  # pyright: ignore[reportPrivateUsage]

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(
            connection=connection,
            version_table=migrations.table,
            transactional_ddl=True,
            transaction_per_migration=False,
        )
        environment.run_migrations()
