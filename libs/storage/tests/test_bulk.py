"""Many rows in one statement."""

from datetime import UTC, datetime
from typing import Any

from contracts import derived_id
from storage import Sessions, build_insert, build_on_conflict_update, encode_rows_parameter
from storage.tables import directory_org_unit

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
ADD = build_insert(directory_org_unit, suffix_sql="ON CONFLICT DO NOTHING RETURNING slug")
PUT = build_insert(directory_org_unit, suffix_sql=build_on_conflict_update(directory_org_unit, ["slug", "body"]))


def unit(slug: str, *above: str, **body: Any) -> dict[str, Any]:
    path = [derived_id(each) for each in (*above, slug)]
    return {"id": derived_id(slug), "slug": slug, "path": path, "body": body}


async def test_rows_are_inserted_with_their_types_and_those_that_are_there_left_or_changed(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        first, second = unit("site", title="Ünïts, 'quoted'"), unit("team", "site", size=7)
        added = await session.execute(ADD, encode_rows_parameter([first, second], tenant="acme"))
        assert set(added.scalars()) == {"site", "team"}
        added = await session.execute(ADD, encode_rows_parameter([second, unit("other")], tenant="acme"))
        assert set(added.scalars()) == {"other"}
        await session.execute(
            PUT, encode_rows_parameter([second | {"slug": "crew", "path": [], "body": {}}], tenant="acme")
        )
        rows = await session.rows("SELECT * FROM directory_org_unit ORDER BY slug")
    changed = second | {"slug": "crew", "body": {}}
    assert rows == [{"tenant": "acme", **each} for each in (changed, unit("other"), first)]
