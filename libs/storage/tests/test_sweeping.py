"""What is swept and what stays, over both stores."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from storage import Document, DocumentStore, Session, Sessions, Sweeper, create_document_store, sweeping
from testkit.fixtures.mongodb import both_stores

Admin = psycopg.Connection[Any]
ALL_OLD = timedelta(hours=-1)


@dataclass
class Item:
    ref: str
    body: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
async def documents(sessions: Sessions, mongodb_url: str | None) -> AsyncIterator[DocumentStore]:
    store = create_document_store(sessions, mongodb_url)
    yield store
    await store.close()


async def unnamed(session: Session, ids: Sequence[str]) -> set[str]:
    """Those that no note names."""
    named = await session.rows("SELECT id FROM note WHERE id = ANY(:ids)", {"ids": list(ids)})
    return set(ids) - {row["id"] for row in named}


async def swept(
    sessions: Sessions,
    documents: DocumentStore,
    item: Item,
    *,
    now: datetime,
    grace_period: timedelta = sweeping.GRACE_PERIOD,
) -> None:
    """As the clock does it: page by page, each in a transaction, until it is to come again tomorrow."""
    body: dict[str, Any] | None = item.body
    while body is not None:
        async with sessions.begin(["acme"], now=now) as session:
            sweeper = Sweeper(documents, {"things": unnamed}, grace_period=grace_period)
            await sweeper.on_sweep(session, Item(item.ref, body))
            body = await session.scalar("SELECT body FROM due_item WHERE tenant = 'acme' AND at <= :now", {"now": now})


def due(admin: Admin) -> list[tuple[Any, ...]]:
    return admin.execute("SELECT tenant, kind, ref, at, body FROM due_item ORDER BY tenant, kind, ref").fetchall()


async def all_ids(documents: DocumentStore, tenant: str) -> list[str]:
    return [each.id for each in await documents.find(tenant, "things", {})]


@both_stores
async def test_what_is_young_or_named_stays(sessions: Sessions, documents: DocumentStore, admin: Admin) -> None:
    now = datetime(2000, 1, 1, tzinfo=UTC)  # a simulated tenant's: the wall clock decides
    await documents.put("acme", "things", [Document(name, {}) for name in ("a", "b", "c")])
    await documents.put("zeta", "things", [Document("a", {})])
    async with sessions.begin(["acme"], now=now) as session:
        await session.execute("INSERT INTO note VALUES ('acme', 'b', '')")
    await swept(sessions, documents, Item("things"), now=now.replace(year=2999))
    assert await all_ids(documents, "acme") == ["a", "b", "c"], "they are young, whatever the tenant's clock says"
    await swept(sessions, documents, Item("things"), now=now, grace_period=ALL_OLD)
    assert await all_ids(documents, "acme") == ["b"]
    assert await all_ids(documents, "zeta") == ["a"], "the other tenant's"
    again = next(row for row in due(admin) if row[0] == "acme")
    assert again[3] == now + sweeping.SWEEP_INTERVAL
    assert datetime.fromisoformat(again[4]["since"]) > datetime.now(UTC)


@both_stores
async def test_a_sweep_goes_on_where_the_last_one_ended(sessions: Sessions, documents: DocumentStore) -> None:
    now = datetime.now(UTC)
    await documents.put("acme", "things", [Document("a", {})])
    since = (now + timedelta(minutes=1)).isoformat()
    await swept(sessions, documents, Item("things", {"since": since}), now=now, grace_period=ALL_OLD)
    assert await all_ids(documents, "acme") == ["a"]
    since = (now - timedelta(minutes=1)).isoformat()
    await swept(sessions, documents, Item("things", {"since": since}), now=now, grace_period=ALL_OLD)
    assert await all_ids(documents, "acme") == []


async def test_more_than_a_page_is_swept(sessions: Sessions, documents: DocumentStore) -> None:
    """The first page is all named, so that a sweep that looked no further would find nothing."""
    names = [f"{number:05}" for number in range(2100)]
    await documents.put("acme", "things", [Document(name, {}) for name in names])
    async with sessions.begin(["acme"], now=datetime.now(UTC)) as session:
        await session.execute("INSERT INTO note SELECT 'acme', unnest(cast(:ids AS text[])), ''", {"ids": names[:2000]})
    await swept(sessions, documents, Item("things"), now=datetime.now(UTC), grace_period=ALL_OLD)
    assert await all_ids(documents, "acme") == names[:100]
    assert await documents.find("acme", "things", {}, after=names[1999]) == []


async def test_a_sweep_is_promised_before_the_first_document(
    sessions: Sessions, documents: DocumentStore, admin: Admin
) -> None:
    now = datetime.now(UTC)
    simulated = datetime(2026, 3, 2, tzinfo=UTC)
    admin.execute("INSERT INTO tenant_clock VALUES ('acme', %s)", [simulated])
    with pytest.raises(ValueError, match="document"):
        await documents.put("zeta", "things", [Document("a", {"$": 1})])
    await documents.put("acme", "things", [Document("a", {})])
    await documents.put("acme", "things", [Document("b", {})])
    of_acme, of_zeta = due(admin)
    assert of_acme == ("acme", "sweep", "things", simulated + sweeping.SWEEP_INTERVAL, {})
    assert of_zeta[:3] == ("zeta", "sweep", "things")
    assert now <= of_zeta[3] - sweeping.SWEEP_INTERVAL <= datetime.now(UTC)


async def test_a_promise_that_is_there_is_not_moved(sessions: Sessions, documents: DocumentStore, admin: Admin) -> None:
    async with sessions.begin(["acme"], now=datetime.now(UTC)) as session:
        await session.schedule("sweep", "things", datetime(2026, 3, 2, tzinfo=UTC), {"since": "x"})
    (before,) = due(admin)
    await documents.put("acme", "things", [Document("a", {})])
    assert due(admin) == [before]


@both_stores
async def test_what_is_let_go_is_discarded_unless_named(
    sessions: Sessions, documents: DocumentStore, admin: Admin
) -> None:
    now = datetime.now(UTC)
    await documents.put("acme", "things", [Document("a", {}), Document("b", {})])
    async with sessions.begin(["acme"], now=now) as session:
        await session.execute("INSERT INTO note VALUES ('acme', 'b', '')")
        for each in ("a", "b"):
            await sweeping.schedule_discard(session, "things", each)
    items = [row for row in due(admin) if row[1] == "discard"]
    assert [row[2:4] for row in items] == [("a", now + sweeping.GRACE_PERIOD), ("b", now + sweeping.GRACE_PERIOD)]
    for row in items:
        async with sessions.begin(["acme"], now=now) as session:
            await Sweeper(documents, {"things": unnamed}).on_discard(session, Item(row[2], row[4]))
    assert await all_ids(documents, "acme") == ["b"]
