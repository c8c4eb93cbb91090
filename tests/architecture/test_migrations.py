"""Revisions are history: they build the schema that today's tables describe, from whichever of them one comes, and stay
as they have landed."""

import ast
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from alembic.script import ScriptDirectory
from contracts import ALL_SERVICES
from psycopg.rows import dict_row
from servicekit.wiring import build_role_url
from sqlalchemy import Column, MetaData, Text, create_engine
from storage import PLATFORM, ensure_schema, migrate, schema_name
from storage.tables import RLS_EXEMPT
from testkit import Cluster
from testkit.revisions import find_drift, find_pending_operations, freeze, write_revision
from testkit.schemas import (
    EMBEDDED_SCHEMAS,
    DescribedSchema,
    create_tables,
    describe_schema,
    find_differences,
    load_catalogue,
)

from tests.architecture.files import format_location
from tests.architecture.rows import fill, rows_of

NAMES = [*sorted(ALL_SERVICES), *EMBEDDED_SCHEMAS]
SCHEMAS = {name: describe_schema(name) for name in NAMES}
FOLDERS = [PLATFORM.folder, *(schema.migrations.folder for schema in SCHEMAS.values())]
REVISIONS = [path for folder in FOLDERS for path in sorted(folder.glob("2*.py"))]

# What a revision has changed on purpose in rows that were there: "service.table.column".
REWRITTEN: set[str] = set()


@dataclass
class Place:
    """A schema in a database of its own."""

    name: str
    cluster: Cluster
    database: str

    @property
    def described(self) -> DescribedSchema:
        return SCHEMAS[self.name]

    @property
    def schema(self) -> str:
        return schema_name(self.name)

    @property
    def url(self) -> str:
        return build_role_url(self.cluster.settings(self.database), self.name)

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection[Any]]:
        dsn = self.cluster.server.url(database=self.database).replace("+psycopg", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection

    @contextmanager
    def tenant(self, tenants: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """As the service's role, for these tenants."""
        with psycopg.Connection[dict[str, Any]].connect(
            self.url.replace("+psycopg", ""), row_factory=dict_row
        ) as connection:
            connection.execute("SELECT set_config('search_path', %s, false)", [self.schema])
            connection.execute("SELECT set_config('uplift.tenants', %s, false)", [tenants])
            yield connection

    def catalogue(self) -> dict[str, str]:
        with self.admin() as connection:
            return load_catalogue(connection, self.schema)

    def create(self, *tables: MetaData) -> None:
        engine = create_engine(self.url, connect_args={"options": f"-c search_path={self.schema} -c timezone=UTC"})
        with engine.begin() as connection:
            create_tables(connection, *tables, walled=self.described.migrations.has_platform_tables)
        engine.dispose()

    def migrate(self, **to: str) -> None:
        migrate(self.url, self.described.migrations, **to)


@pytest.fixture
def place_of(cluster: Cluster) -> Iterator[Callable[[str], Place]]:
    """An empty schema of that name."""
    made: list[str] = []

    def make(name: str) -> Place:
        database = cluster.create()
        made.append(database)
        url = cast(str, cluster.settings(database).admin_database_url)
        ensure_schema(url, name, role=schema_name(name))
        return Place(name, cluster, database)

    yield make
    for database in made:
        cluster.drop(database)


@pytest.fixture(scope="module")
def wanted(cluster: Cluster) -> Callable[[str], dict[str, str]]:
    """A schema as its tables of today describe it; where its revisions are all there is, as these build it."""
    known: dict[str, dict[str, str]] = {}

    def of(name: str) -> dict[str, str]:
        if name not in known:
            with cluster.database() as database:
                ensure_schema(cast(str, cluster.settings(database).admin_database_url), name, role=schema_name(name))
                place = Place(name, cluster, database)
                if place.described.tables is None:
                    place.migrate()
                place.create(*place.described.all_tables)
                known[name] = place.catalogue()
        return known[name]

    return of


CURE = "the tables and the revisions differ: `make revision SERVICE=… NAME=…` adds the one that is missing"


@pytest.mark.parametrize("name", NAMES)
def test_the_revisions_build_what_the_tables_describe(
    name: str, place_of: Callable[[str], Place], wanted: Callable[[str], dict[str, str]]
) -> None:
    place = place_of(name)
    place.migrate()
    assert find_differences(place.catalogue(), wanted(name)) == [], CURE
    assert find_pending_operations(place.url, place.described) == [], CURE
    if place.described.migrations.has_platform_tables:
        assert find_pending_operations(place.url, place.described, platform=True) == [], CURE


@pytest.mark.parametrize("platform", [False, True])
def test_a_column_without_a_revision_is_found(platform: bool, place_of: Callable[[str], Place]) -> None:
    place = place_of("training")
    place.migrate()
    copies = [MetaData(), MetaData()]
    for tables, copy in zip(place.described.all_tables, copies, strict=True):
        for table in tables.sorted_tables:
            table.to_metadata(copy)
    table = copies[0].tables["outbox"] if platform else copies[1].tables["assignment"]
    table.append_column(Column("forgotten", Text))
    (operation,) = find_pending_operations(
        place.url, place.described, platform=platform, tables=copies[0 if platform else 1]
    )
    assert operation == f"op.add_column('{table.name}', sa.Column('forgotten', sa.Text(), nullable=True))"
    other = place_of("training")
    other.create(*copies)
    (difference,) = find_differences(place.catalogue(), other.catalogue())
    assert difference.startswith(f"column {table.name}.forgotten: missing; it should be: text")


CHANGES = {
    "ALTER TABLE ledger NO FORCE ROW LEVEL SECURITY": "relation ledger",
    "DROP POLICY tenant_wall ON ledger": "policy ledger.tenant_wall",
    "ALTER POLICY tenant_wall ON ledger USING (true)": "policy ledger.tenant_wall",
    "GRANT SELECT ON ledger TO public": "relation ledger",
    "GRANT SELECT (points) ON ledger TO public": "column ledger.points",
    "DROP TRIGGER append_only ON ledger": "trigger ledger.append_only",
    "ALTER TABLE ledger DISABLE TRIGGER append_only": "trigger ledger.append_only",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'": (
        "function gamification.refuse_change()"
    ),
    "DROP INDEX ix_ledger_cause": "index ix_ledger_cause",
    "ALTER TABLE ledger ALTER reason TYPE varchar": "column ledger.reason",
    "ALTER TABLE ledger ALTER points SET DEFAULT 1": "column ledger.points",
    "ALTER TABLE ledger ADD CHECK (points > 0)": "constraint ledger.ledger_points_check",
    "CREATE SEQUENCE number": "relation number",
    "ALTER VIEW report_ledger_entry SET (security_barrier = false)": "relation report_ledger_entry",
    "GRANT SELECT ON report_ledger_entry TO public": "relation report_ledger_entry",
    "CREATE OR REPLACE VIEW report_ledger_entry WITH (security_barrier = true) AS "
    "SELECT tenant, id, agent_id, rule, points, at AS booked_at, earned_on FROM ledger": "view report_ledger_entry",
    "CREATE VIEW seen AS SELECT points FROM ledger": "view seen",
}


def test_what_is_not_as_described_is_found(
    place_of: Callable[[str], Place], wanted: Callable[[str], dict[str, str]]
) -> None:
    place = place_of("gamification")
    place.migrate()
    with place.admin() as connection:
        connection.execute("SET search_path TO gamification, pg_catalog")
        for change, thing in CHANGES.items():
            with connection.transaction(force_rollback=True):
                connection.execute(change)  # pyright: ignore
                connection.execute("SET LOCAL search_path TO public, pg_catalog")
                found = find_differences(load_catalogue(connection, place.schema), wanted("gamification"))
            assert thing in [each.partition(": ")[0] for each in found], change
            assert len(found) == 1 or change.startswith("CREATE"), change


STEPS = [
    *((name, {"to": revision}) for name, schema in SCHEMAS.items() for revision in schema.migrations.revisions()),
    *(("training", {"platform": revision}) for revision in PLATFORM.revisions()),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "to"), [pytest.param(*step, id=" ".join((step[0], *step[1].values()))) for step in STEPS]
)
def test_data_of_every_revision_comes_along_and_stays_walled_off(
    name: str, to: dict[str, str], place_of: Callable[[str], Place], wanted: Callable[[str], dict[str, str]]
) -> None:
    place = place_of(name)
    place.migrate(**to)
    tenants = ("acme", "zeta")
    before = place.catalogue()
    with place.admin() as connection:
        fill(connection, place.schema, tenants)
        there = rows_of(connection, place.schema)

    place.migrate()

    after = place.catalogue()
    assert find_differences(after, wanted(name)) == []
    with place.admin() as connection:
        found = rows_of(connection, place.schema)
    assert there
    for table, rows in there.items():
        kept = {
            column
            for column in rows[0]
            if before[f"column {table}.{column}"].split()[0] == after.get(f"column {table}.{column}", "gone").split()[0]
            and f"{name}.{table}.{column}" not in REWRITTEN
        }
        assert of(kept, found[table]) == of(kept, rows), table
    if not place.described.migrations.has_platform_tables:
        return
    walled = [table for table in there if table not in RLS_EXEMPT]
    assert len(walled) > 10
    for tenant in tenants:
        with place.tenant(tenant) as connection:
            for table in walled:
                seen = connection.execute(f'SELECT tenant FROM "{table}"').fetchall()  # pyright: ignore
                assert seen == [{"tenant": tenant} for row in there[table] if row["tenant"] == tenant] != [], table
    with place.tenant("") as connection:
        for table in walled:
            assert connection.execute(f'SELECT FROM "{table}"').fetchall() == [], table  # pyright: ignore


@pytest.mark.parametrize("name", EMBEDDED_SCHEMAS)
@pytest.mark.parametrize("grown", [False, True])
def test_a_schema_from_before_it_had_revisions_is_taken_over(
    name: str, grown: bool, place_of: Callable[[str], Place], wanted: Callable[[str], dict[str, str]]
) -> None:
    """It was created, and later extended, by every start."""
    place = place_of(name)
    revisions = place.described.migrations.revisions()
    place.migrate(to=revisions[-1 if grown else 0])
    with place.admin() as connection:
        connection.execute(f"DROP TABLE {place.schema}.alembic_version")  # pyright: ignore
        fill(connection, place.schema, ["acme"])
        there = rows_of(connection, place.schema)
    place.migrate()
    assert find_differences(place.catalogue(), wanted(name)) == []
    with place.admin() as connection:
        found = rows_of(connection, place.schema)
    for table, rows in there.items():
        assert rows
        assert of(set(rows[0]), found[table]) == of(set(rows[0]), rows), table


def of(columns: set[str], rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str({column: row[column] for column in sorted(columns)}) for row in rows)


def test_revisions_stay_as_they_have_landed() -> None:
    assert [line for folder in FOLDERS for line in find_drift(folder)] == []


def test_what_happens_to_a_landed_revision_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "versions"
    shutil.copytree(PLATFORM.folder, folder)
    first, *_ = names = sorted(path.name for path in folder.glob("2*.py"))
    text = (folder / first).read_text(encoding="utf-8")
    (folder / first).write_text(text + "\n", encoding="utf-8")
    (line,) = find_drift(folder)
    assert first in line
    assert "has changed" in line
    with pytest.raises(SystemExit, match="has changed"):
        freeze(folder)  # it records what is new and nothing else
    (folder / first).unlink()
    assert ["is gone" in line for line in find_drift(folder)] == [True]
    (folder / first).write_text(text, encoding="utf-8")
    new = folder / "2099_01_01_0000_new.py"
    new.write_text("x = 1\n", encoding="utf-8")
    assert ["make freeze" in line for line in find_drift(folder)] == [True]
    assert freeze(folder) == [new.name]
    assert find_drift(folder) == []
    assert len((folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()) == len(names) + 1


def find_imports_of_ours(text: str) -> list[str]:
    """What a revision imports from today's code would change what it did."""
    allowed = sys.stdlib_module_names | {"alembic", "sqlalchemy"}
    return [
        module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if module.partition(".")[0] not in allowed
    ]


def test_revisions_depend_on_nothing_that_changes() -> None:
    imports = {format_location(path): find_imports_of_ours(path.read_text(encoding="utf-8")) for path in REVISIONS}
    assert {name: modules for name, modules in imports.items() if modules} == {}


def test_an_import_of_what_changes_is_found() -> None:
    text = "import json\nimport storage.tables\nfrom alembic import op\ndef upgrade():\n    from forms.store import x\n    from . import y"
    assert find_imports_of_ours(text) == ["storage.tables", "forms.store", ""]


def is_chain_by_name(script: ScriptDirectory) -> bool:
    """Whether the revisions follow one another in the order of their names."""
    chain = [each.revision for each in script.walk_revisions()]
    return chain[::-1] == sorted(chain)


def test_revisions_follow_one_another_by_their_names() -> None:
    for migrations in (PLATFORM, *(schema.migrations for schema in SCHEMAS.values())):
        assert is_chain_by_name(migrations.script()), migrations.package
        assert len([*migrations.script().walk_revisions()]) == len(migrations.revisions())


@pytest.mark.parametrize(("second", "expected"), [("2026_02_second", True), ("2025_12_second", False)])
def test_a_revision_that_is_named_as_if_it_came_earlier_is_found(tmp_path: Path, second: str, expected: bool) -> None:
    (tmp_path / "versions").mkdir()
    for name, before in (("2026_01_first", None), (second, "2026_01_first")):
        text = f"revision = {name!r}\ndown_revision = {before!r}\n"
        (tmp_path / "versions" / f"{name}.py").write_text(text, encoding="utf-8")
    assert is_chain_by_name(ScriptDirectory(str(tmp_path))) == expected


def test_the_first_draft_of_a_revision_is_what_is_missing(place_of: Callable[[str], Place], tmp_path: Path) -> None:
    """Of a table that nobody has yet: with its wall."""
    place = place_of("forms")
    place.migrate()
    copy = MetaData()
    assert place.described.tables
    for table in place.described.tables.sorted_tables:
        table.to_metadata(copy)
    copy.tables["form"].to_metadata(copy, name="form_again")
    path = write_revision(
        find_pending_operations(place.url, place.described, tables=copy), tmp_path, after="x", slug="again"
    )
    text = path.read_text(encoding="utf-8")
    assert "op.create_table('form_again'" in text
    assert "CREATE POLICY tenant_wall" in text
    assert f'revision = "{path.stem}"\ndown_revision = "x"' in text
    compile(text, path.name, "exec")
