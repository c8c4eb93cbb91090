"""Adds revisions of database schemas, and records their checksums. A revision that is recorded never changes.

    python -m testkit.revisions add ingest told_twice
    python -m testkit.revisions freeze

`add` compares the tables of a service, of `platform` (the tables that every service has) or of `oidc` with what the
revisions build. It writes a revision with the difference, to be read and completed; for `broker` the revision is empty.
`freeze` records the checksum of each new revision in `SHA256SUMS` beside it, a file for `sha256sum -c`.
"""

import argparse
import hashlib
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.autogenerate import api, produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import ops
from contracts import ALL_SERVICES
from servicekit.wiring import build_role_url, migrate_schema
from sqlalchemy import MetaData, create_engine
from storage import PLATFORM, Migrations, schema_name
from storage.tables import PLATFORM_TABLES

from testkit.postgres import started_cluster
from testkit.schemas import EMBEDDED_SCHEMAS, DescribedSchema, describe_schema, render_tenant_policy

SUMS = "SHA256SUMS"

_DRAFT = '''"""What this revision adds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "{revision}"
down_revision = {after!r}


def upgrade() -> None:
    {operations}
'''


def find_pending_operations(
    url: str, schema: DescribedSchema, *, platform: bool = False, tables: MetaData | None = None
) -> list[str]:
    """The operations, as Python, by which Alembic would bring the schema at `url` to the tables as they are in the code.

    Compared are `tables`, or else the tables that every service has (`platform`), or else the schema's own. The list is
    empty for a schema whose tables only its revisions describe.
    """
    tables = tables or (PLATFORM_TABLES if platform else schema.tables)
    if tables is None:
        return []
    others = {*PLATFORM_TABLES.tables, PLATFORM.table, Migrations.table}
    walled = schema.migrations.has_platform_tables
    options = f"-c search_path={schema_name(schema.migrations.service)} -c timezone=UTC"
    engine = create_engine(url, connect_args={"options": options})

    def is_compared(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or ((name in PLATFORM_TABLES.tables) if platform else (name not in others))

    options = {"include_object": is_compared, "compare_type": True, "compare_server_default": True}
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            upgrade = produce_migrations(context, tables).upgrade_ops
            return [line for each in (upgrade.ops if upgrade else []) for line in _rendered(each, context, walled)]
    finally:
        engine.dispose()


def _rendered(operation: ops.MigrateOperation, context: MigrationContext, walled: bool) -> list[str]:
    if isinstance(operation, ops.ModifyTableOps):
        return [line for each in operation.ops for line in _rendered(each, context, walled)]
    code = api.render_python_code(ops.UpgradeOps([operation]), migration_context=context)
    lines = [line for line in textwrap.dedent("    " + code).splitlines() if not line.lstrip().startswith("#")]
    statements = (
        render_tenant_policy(operation.table_name) if walled and isinstance(operation, ops.CreateTableOp) else []
    )
    return ["\n".join(lines), *(f"op.execute({statement!r})" for statement in statements)]


def write_revision(operations: Sequence[str], folder: Path, *, after: str | None, slug: str) -> Path:
    """Writes a revision with these operations, and returns its path. Without operations it has one empty statement."""
    path = folder / f"{datetime.now(UTC):%Y_%m_%d_%H%M}_{slug}.py"
    body = "\n".join(operations) or 'op.execute("")'
    draft = _DRAFT.format(revision=path.stem, after=after, operations=body.replace("\n", "\n    "))
    path.write_text(draft.replace(f"down_revision = '{after}'", f'down_revision = "{after}"'), encoding="utf-8")
    return path


def find_drift(folder: Path) -> list[str]:
    """A line for each revision that differs from its recorded checksum, is missing, or is not recorded."""
    recorded, found = _recorded(folder), _sums(folder)
    lines = [
        f"{folder / name} {'has changed' if name in found else 'is gone'}, but people's databases are made by what it "
        f"was: put it back, and add a revision. (Was it never on the main branch? Remove its line from {SUMS}.)"
        for name, sum_ in recorded.items()
        if found.get(name) != sum_
    ]
    return lines + [f"{folder / name} is not recorded: `make freeze`" for name in found if name not in recorded]


def freeze(folder: Path) -> list[str]:
    """Records the new revisions and returns their names. Exits with a message when a recorded one has changed."""
    recorded, found = _recorded(folder), _sums(folder)
    new = [name for name in found if name not in recorded]
    if wrong := [line for line in find_drift(folder) if "make freeze" not in line]:
        sys.exit("\n".join(wrong))
    if new:
        lines = [f"{sum_}  {name}\n" for name, sum_ in sorted(found.items())]
        (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return new


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: sum_ for sum_, name in (line.split() for line in lines)}


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("2*.py"))}


def _add(name: str, slug: str) -> None:
    platform = name == "platform"
    schema = describe_schema("training" if platform else name)
    migrations = PLATFORM if platform else schema.migrations
    with started_cluster() as cluster, cluster.database() as database:
        settings = cluster.settings(database)
        migrate_schema(schema.migrations, settings)
        operations = find_pending_operations(
            build_role_url(settings, schema.migrations.service), schema, platform=platform
        )
    path = write_revision(operations, migrations.folder, after=migrations.head(), slug=slug)
    print(f"Written: {path}\nRead and complete it, then `make fmt`, `make freeze`.")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exits with a message when a recorded revision has changed."""
    parser = argparse.ArgumentParser(prog="python -m testkit.revisions", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="write a revision with what is missing")
    add.add_argument("service", choices=[*sorted(ALL_SERVICES), *EMBEDDED_SCHEMAS, "platform"])
    add.add_argument("slug", help="what is there now, in a word or two: told_twice")
    commands.add_parser("freeze", help="record the revisions that are new")
    options = parser.parse_args(arguments)
    if options.command == "add":
        _add(options.service, options.slug)
        return
    for migrations in (
        PLATFORM,
        *(describe_schema(name).migrations for name in (*sorted(ALL_SERVICES), *EMBEDDED_SCHEMAS)),
    ):
        for name in freeze(migrations.folder):
            print(f"Recorded: {migrations.package} {name}")


if __name__ == "__main__":
    main()
