"""Many rows in one statement."""

from datetime import UTC, datetime
from typing import Any

import pytest
from contracts import derived_id
from pydantic import BaseModel
from storage import InsertSpec, MultiInsert, Sessions, encode_rows, on_conflict_update
from storage.tables import directory_membership, directory_org_unit

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
INSERT = InsertSpec(directory_org_unit, None, ("tenant",), "ON CONFLICT DO NOTHING RETURNING slug")
UPSERT = InsertSpec(
    directory_org_unit,
    suffix_sql=on_conflict_update(directory_org_unit, ["slug", "body"]),
    where_sql="WHERE slug <> ''",
)
MEMBERSHIPS = InsertSpec(directory_membership, None, ("tenant", "valid_from", "valid_to"))


def unit(slug: str, *above: str, **body: Any) -> dict[str, Any]:
    path = [derived_id(each) for each in (*above, slug)]
    return {"id": derived_id(slug), "slug": slug, "path": path, "body": body}


async def test_rows_are_inserted_with_their_types_and_existing_ones_skipped_or_updated(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        first, second = unit("site", title="Ünïts, 'quoted'"), unit("team", "site", size=7)
        assert await session.insert_rows(INSERT, [first, second]) == [{"slug": "site"}, {"slug": "team"}]
        assert await session.insert_rows(INSERT, [second, unit("other")]) == [{"slug": "other"}]
        assert await session.insert_rows(INSERT, []) == []
        moved = second | {"tenant": "acme", "slug": "crew", "path": [], "body": {}}
        assert await session.insert_rows(UPSERT, [moved, {**unit("none"), "tenant": "acme", "slug": ""}]) == []
        rows = await session.rows("SELECT * FROM directory_org_unit ORDER BY slug")
    changed = second | {"slug": "crew", "body": {}}
    assert rows == [{"tenant": "acme", **each} for each in (changed, unit("other"), first)]


async def test_several_tables_are_written_by_one_statement(sessions: Sessions) -> None:
    batch = MultiInsert()
    batch.add(MEMBERSHIPS, [{"person_id": derived_id("bob"), "org_unit_id": derived_id("site")}])
    batch.add(INSERT, [unit("site")])
    batch.add(UPSERT, [])
    async with sessions.begin(["acme"], now=NOW) as session:
        assert await session.insert_multi(MultiInsert()) == []
        with pytest.raises(KeyError, match="valid_from"):
            await session.insert_multi(batch)
        added = await session.insert_multi(batch, valid_from=NOW.date(), valid_to=NOW.date(), unused=1)
        assert added == [{"slug": "site"}]
        row = await session.row("SELECT * FROM directory_membership")
    assert row == {
        "tenant": "acme", "person_id": derived_id("bob"), "org_unit_id": derived_id("site"), "valid_from": NOW.date(),
        "valid_to": NOW.date(),
    }  # fmt: skip


def test_rows_may_hold_models() -> None:
    class Point(BaseModel):
        x: int

    assert encode_rows([{"point": Point(x=1), "at": NOW}]) == '[{"point":{"x":1},"at":"2026-03-02T08:00:00Z"}]'
