"""Alembic without an env.py per service: each service has a folder of revisions, and this runs them in its schema."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, create_engine, text
from sqlalchemy.schema import CreateColumn

from storage.engine import schema_name
from storage.tables import EXEMPT, TENANT_POLICY, own


@dataclass(frozen=True)
class Migrations:
    """The revisions of one service: `package` holds a folder `versions`."""

    service: str
    package: str

    def script(self) -> ScriptDirectory:
        config = Config()
        folder = Path(str(files(self.package)))
        config.set_main_option("script_location", str(folder))
        config.set_main_option("version_locations", str(folder / "versions"))
        config.set_main_option("path_separator", "newline")
        return ScriptDirectory.from_config(config)

    def head(self) -> str | None:
        """The newest revision, read from the file names alone: `YYYY_MM_DD_HHMM_slug.py` sort by time."""
        names = sorted(path.stem for path in (Path(str(files(self.package))) / "versions").glob("2*.py"))
        return names[-1] if names else None


def prepare_schema(admin_url: str, service: str, *, role: str, password: str | None = None) -> None:
    """Creates the service's role and schema when they are missing. Runs as the database's administrator."""
    schema = schema_name(service)
    engine = create_engine(admin_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('prepare schemas'))"))
        if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
            connection.execute(text(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOBYPASSRLS'))
        if password:
            quoted = password.replace("'", "''")
            connection.execute(text(f"ALTER ROLE \"{role}\" PASSWORD '{quoted}'"))
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION "{role}"'))
    engine.dispose()


def current(connection: Connection) -> str | None:
    """The revision a schema is at; None when it was never migrated."""
    if not connection.scalar(text("SELECT to_regclass('alembic_version')")):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def migrate(url: str, migrations: Migrations) -> str | None:
    """Brings a service's schema to its newest revision, as the service's own role. Returns the revision.

    Revision ids are the file names, so that being up to date is seen without loading a single script.
    """
    engine = create_engine(
        url, connect_args={"options": f"-c search_path={schema_name(migrations.service)} -c timezone=UTC"}
    )
    try:
        with engine.begin() as connection:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtext('migrate ' || :s))"), {"s": migrations.service}
            )
            if current(connection) != migrations.head():
                _upgrade(connection, migrations)
            _complete_own_tables(connection)
            return current(connection)
    finally:
        engine.dispose()


def _upgrade(connection: Connection, migrations: Migrations) -> None:
    script = migrations.script()

    def to_head(revision: Any, context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # pyright: ignore[reportPrivateUsage]

    with EnvironmentContext(Config(), script, fn=to_head) as environment:
        environment.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
        environment.run_migrations()


def _complete_own_tables(connection: Connection) -> None:
    """Adds the shared tables, columns and indexes that came after the version that made this schema. A column that is
    not nullable needs a server default."""
    columns = _columns_by_table(connection)
    for table in own.sorted_tables:
        if table.name not in columns:
            table.create(connection)
            wall_off(connection, table)
            continue
        missing = [column for column in table.columns if column.name not in columns[table.name]]
        for column in missing:
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(text(f'ALTER TABLE "{table.name}" ADD COLUMN {definition}'))
        if missing:
            for index in table.indexes:
                index.create(connection, checkfirst=True)


def _columns_by_table(connection: Connection) -> dict[str, set[str]]:
    statement = text(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = ANY(:names)"
    )
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(statement, {"names": list(own.tables)}):
        found.setdefault(table, set()).add(column)
    return found


def create_own_tables(op: Operations | Any) -> None:
    """The tables every service has: outbox, offsets, dead letters, due items, documents, its copy of the directory."""
    create_tables(op, own)


def create_tables(op: Operations | Any, metadata: MetaData) -> None:
    """Creates `metadata`'s tables. Everyone that is not exempt must have a `tenant` column, and is walled off by it."""
    connection = op.get_bind()
    metadata.create_all(connection, checkfirst=False)
    for table in metadata.sorted_tables:
        wall_off(connection, table)


def wall_off(connection: Connection, table: Table | str) -> None:
    """Forces row-level security on a table: rows of the transaction's tenants only."""
    name = table if isinstance(table, str) else table.name
    if name in EXEMPT:
        return
    connection.execute(text(f'ALTER TABLE "{name}" ENABLE ROW LEVEL SECURITY'))
    connection.execute(text(f'ALTER TABLE "{name}" FORCE ROW LEVEL SECURITY'))
    connection.execute(
        text(f'CREATE POLICY tenant_wall ON "{name}" USING ({TENANT_POLICY}) WITH CHECK ({TENANT_POLICY})')
    )
