"""Sessions: one transaction, the walls between tenants, the out-tray."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from contracts import Attributes, derived_id
from contracts.assignments import AssignmentAssigned
from contracts.directory import TenantChanged
from contracts.scores import ScoreChanged
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from storage import OffsetConflict, OffsetUpdate, Sessions, is_valid_tenant_name, load_next_offset, move_offsets
from storage.engine import DATABASE_OVERFLOW
from storage.tables import PLATFORM_TABLES, RLS_EXEMPT
from testkit import wait_until_true

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
WALLED = sorted(set(PLATFORM_TABLES.tables) - RLS_EXEMPT) + ["note"]

Admin = psycopg.Connection[Any]


def event(agent: str = "ada") -> AssignmentAssigned:
    return AssignmentAssigned.model_validate({**AssignmentAssigned.example, "agent_id": derived_id(agent)})


def insertion(admin: Admin, table: str, tenant: str, number: int) -> str:
    """A statement that adds a row, made up by the columns' types: a table of tomorrow is tried like those of today."""
    made_up = {
        "text": "'x'", "uuid": "gen_random_uuid()", "jsonb": "'{}'", "integer": "1", "bigint": str(number),
        "bytea": "'x'", "timestamp with time zone": "now()", "date": "current_date", "boolean": "true", "ARRAY": "'{}'",
    }  # fmt: skip
    columns = admin.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'training' AND table_name = %s AND column_name <> 'tenant'",
        [table],
    ).fetchall()
    names = ", ".join(f'"{name}"' for name, _ in columns)
    return (
        f"INSERT INTO {table} (tenant, {names}) VALUES ('{tenant}', {', '.join(made_up[kind] for _, kind in columns)})"
    )


@pytest.mark.parametrize("table", WALLED)
async def test_every_walled_table_shows_the_tenants_of_the_transaction_only(
    sessions: Sessions, admin: Admin, table: str
) -> None:
    for number, tenant in enumerate(("acme", "zeta", "other")):
        admin.execute(insertion(admin, table, tenant, number))  # pyright: ignore

    async def seen(*tenants: str) -> list[str]:
        async with sessions.begin(tenants, now=NOW) as session:
            return [row["tenant"] for row in await session.rows(f"SELECT tenant FROM {table} ORDER BY 1")]

    assert await seen() == []
    assert await seen("acme") == ["acme"]
    assert await seen("acme", "zeta") == ["acme", "zeta"]
    assert await seen("nobody") == []
    async with sessions.system_transaction() as connection:
        assert (await connection.exec_driver_sql(f"SELECT 1 FROM {table}")).all() == []
    async with sessions.begin(["acme"], now=NOW) as session:
        assert (await session.execute(f"DELETE FROM {table}")).rowcount == 1
        await session.execute(insertion(admin, table, "acme", 3))
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with sessions.begin(["acme"], now=NOW) as session:
            await session.execute(insertion(admin, table, "zeta", 4))
    assert admin.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)  # pyright: ignore


async def test_rows_can_be_neither_made_nor_moved_into_another_tenant(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        await session.execute("INSERT INTO note VALUES ('acme', '1', 'x')")
    for statement in (
        "INSERT INTO note VALUES ('zeta', '1', 'x')",
        "INSERT INTO note SELECT 'zeta', id, text FROM note",
        "UPDATE note SET tenant = 'zeta'",
        "INSERT INTO note VALUES ('acme', '1', 'y') ON CONFLICT (tenant, id) DO UPDATE SET tenant = 'zeta'",
        "COPY note FROM STDIN",
    ):
        with pytest.raises(DBAPIError):
            async with sessions.begin(["acme"], now=NOW) as session:
                await session.execute(statement)


async def test_the_service_cannot_take_the_wall_down_by_accident(sessions: Sessions) -> None:
    """It owns its tables, and is bound all the same."""
    async with sessions.begin(["acme"], now=NOW) as session:
        await session.execute("INSERT INTO note VALUES ('acme', '1', 'x')")
    async with sessions.begin(["zeta"], now=NOW) as session:
        with pytest.raises(ProgrammingError, match="row-level security"):
            await session.execute("SET LOCAL row_security = off; SELECT * FROM note")


async def test_what_a_connection_saw_is_forgotten_with_the_transaction(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        await session.execute("INSERT INTO note VALUES ('acme', '1', 'x')")
    for _ in range(6):  # the pool hands the same connection out again
        async with sessions.system_transaction() as connection:
            assert (await connection.exec_driver_sql("SELECT * FROM note")).all() == []


async def test_a_session_can_narrow_itself(sessions: Sessions) -> None:
    async with sessions.begin(["acme", "zeta"], now=NOW) as session:
        await session.execute("INSERT INTO note VALUES ('acme', '1', 'x'), ('zeta', '1', 'x')")
        with pytest.raises(ValueError):
            _ = session.tenant
        await session.set_tenants(["zeta"])
        assert session.tenant == "zeta"
        assert await session.scalar("SELECT count(*) FROM note") == 1


@pytest.mark.parametrize("name", ["", "a,b", ",", "nul\x00", "line\nbreak"])
async def test_what_cannot_name_one_tenant_opens_nothing(sessions: Sessions, name: str) -> None:
    assert not is_valid_tenant_name(name)
    with pytest.raises(ValueError, match="names of tenants"):
        async with sessions.begin(["acme", name], now=NOW):
            pytest.fail("it was opened")


async def test_a_name_that_is_refused_changes_no_session(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        with pytest.raises(ValueError, match="names of tenants"):
            await session.set_tenants(["zeta", "a,b"])
        assert session.tenants == ("acme",)


async def test_one_event_has_its_own_time_and_cause_and_the_session_gets_its_own_back(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        cause = Attributes.create("x", source="training", tenant="acme", time=NOW)
        with session.as_of(NOW + timedelta(hours=1), cause):
            assert (session.now, session.cause) == (NOW + timedelta(hours=1), cause)
        with pytest.raises(KeyError), session.as_of(NOW + timedelta(hours=1), cause):
            raise KeyError
        assert (session.now, session.cause) == (NOW, None)


async def test_an_item_that_is_scheduled_is_replaced_or_left_as_asked(sessions: Sessions) -> None:
    later = NOW + timedelta(hours=1)
    async with sessions.begin(["acme"], now=NOW) as session:
        await session.schedule("remind", "a", NOW, {"step": 3})
        await session.schedule_if_absent("remind", "a", later)
        await session.schedule_if_absent("remind", "b", later)
        items = await session.tuples("SELECT ref, at, body FROM due_item WHERE kind = 'remind' ORDER BY ref", {})
        assert list(items) == [("a", NOW, {"step": 3}), ("b", later, {})]
        await session.schedule("remind", "a", later)
        assert await session.scalar("SELECT body FROM due_item WHERE ref = 'a'") == {}


@pytest.mark.parametrize("name", ["it's", '"', "{}", "a b", "größe", "%s", ":x"])
async def test_odd_names_are_one_tenant_each(sessions: Sessions, name: str) -> None:
    async with sessions.begin([name], now=NOW) as session:
        await session.execute("INSERT INTO note VALUES (:tenant, '1', 'x')", {"tenant": name})
        assert await session.scalar("SELECT count(*) FROM note") == 1


async def test_thousands_of_rows_come_in_by_a_stage(sessions: Sessions) -> None:
    rows = [("acme", str(number), f"tab\t newline\n \\ ü {number}") for number in range(5000)]
    for _ in range(2):
        async with sessions.begin(["acme"], now=NOW) as session:
            await session.execute("CREATE TEMP TABLE stage (LIKE note) ON COMMIT DROP")
            await session.copy_rows("stage", ["tenant", "id", "text"], rows)
            await session.execute("INSERT INTO note SELECT * FROM stage ON CONFLICT DO NOTHING")
    async with sessions.begin(["acme"], now=NOW) as session:
        assert await session.scalar("SELECT count(*) FROM note") == 5000
        assert await session.scalar("SELECT text FROM note WHERE id = '17'") == rows[17][2]


async def test_a_stage_does_not_get_rows_over_the_wall(sessions: Sessions) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with sessions.begin(["acme"], now=NOW) as session:
            await session.execute("CREATE TEMP TABLE stage (LIKE note) ON COMMIT DROP")
            await session.copy_rows("stage", ["tenant", "id", "text"], [("acme", "1", "x"), ("zeta", "2", "x")])
            await session.execute("INSERT INTO note SELECT * FROM stage")


async def test_statements_hand_back_plain_rows(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        assert await session.rows("SELECT 1 AS a, :b AS b", {"b": "x"}) == [{"a": 1, "b": "x"}]
        assert await session.row("SELECT * FROM note") is None
        assert await session.scalar("SELECT id FROM note") is None


@pytest.mark.parametrize("traced", [False, True])
async def test_statements_give_the_same_results_with_and_without_listeners(sessions: Sessions, traced: bool) -> None:
    started: list[str] = []
    finished: list[str] = []
    failed: list[str | None] = []
    if traced:
        engine = sessions.engine.sync_engine
        listen(engine, "before_cursor_execute", lambda *each: started.append(each[2]))
        listen(engine, "after_cursor_execute", lambda *each: finished.append(each[2]))
        listen(engine, "handle_error", lambda context: failed.append(context.statement))
    id = derived_id("x")
    given = {"id": id, "names": ["a", "b"], "at": NOW, "none": None}
    async with sessions.begin(["acme"], now=NOW) as session:
        row = await session.row(
            "SELECT cast(:id AS uuid) AS id, cast(:names AS text[]) AS names, cast(:at AS timestamptz) AS at, '5%' AS share, "
            """cast(:none AS text) AS none, '{"a": [1]}'::jsonb AS json, 1.5 AS number, date '2026-03-02' AS day, :id AS again""",
            given,
        )
        assert row == {
            "id": id, "names": ["a", "b"], "at": NOW, "share": "5%", "none": None, "json": {"a": [1]},
            "number": Decimal("1.5"), "day": NOW.date(), "again": id,
        }  # fmt: skip
        assert await session.rows("SELECT n FROM generate_series(1, 2) AS n") == [{"n": 1}, {"n": 2}]
        assert await session.scalars("SELECT n FROM generate_series(1, 2) AS n") == [1, 2]
        assert await session.rows("INSERT INTO note VALUES ('acme', '1', 'x')") == []
        assert await session.run("UPDATE note SET text = 'y'") == 1
        assert await session.run("DELETE FROM note WHERE id = :id", {"id": "none"}) == 0
    with pytest.raises(IntegrityError) as caught:
        async with sessions.begin(["acme"], now=NOW) as session:
            await session.run("INSERT INTO note VALUES ('acme', '1', :text)", {"text": "a secret"})
    assert "a secret" not in str(caught.value)
    refused = "INSERT INTO note VALUES ('acme', '1', :text)"
    assert failed == ([refused] if traced else [])
    assert started == ([*finished, refused] if traced else [])
    assert ("UPDATE note SET text = 'y'" in finished) == traced, "the driver's path: the text is not compiled"


async def test_locks_exclude_by_key_and_are_shared_on_request(sessions: Sessions) -> None:
    async with sessions.begin(["acme"], now=NOW) as first, sessions.begin(["acme"], now=NOW) as second:
        await first.lock_key("a", shared=True)
        assert await second.try_lock("a", shared=True)
        assert not await second.try_lock("a")
        await first.lock_keys(["b", "c", "b"])
        assert not await second.try_lock("c", shared=True)
        assert await second.try_lock("d")
        async with sessions.hold_lock("e"):
            assert not await first.try_lock("e")
        # PostgreSQL releases the lock a moment after the connection was closed.
        await wait_until_true(lambda: first.try_lock("e"))


async def test_connections_that_the_server_closed_are_left_in_silence(sessions: Sessions, admin: Admin) -> None:
    async def pid() -> int:
        async with sessions.begin(["acme"], now=NOW) as session:
            return await session.scalar("SELECT pg_backend_pid()")

    before = {*await asyncio.gather(*(pid() for _ in range(4)))}
    closed = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = ANY(%s)"
    assert all(done for (done,) in admin.execute(closed, [list(before)]))
    assert not before & {*await asyncio.gather(*(pid() for _ in range(4)))}


async def test_a_connection_that_breaks_at_work_is_told_and_takes_the_others_along(
    sessions: Sessions, admin: Admin
) -> None:
    with pytest.raises(OperationalError):
        async with sessions.begin(["acme"], now=NOW) as session:
            pid = await session.scalar("SELECT pg_backend_pid()")
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            await session.run("INSERT INTO note VALUES ('acme', '1', 'x')")
    async with sessions.begin(["acme"], now=NOW) as session:
        assert await session.scalar("SELECT count(*) FROM note") == 0


# What is written elsewhere first


async def test_the_commit_waits_for_what_is_written_first(sessions: Sessions, admin: Admin) -> None:
    seen: list[int] = []

    async def write() -> None:
        await asyncio.sleep(0.1)  # sleep: a slow write
        seen.append(admin.execute("SELECT count(*) FROM note").fetchone()[0])  # pyright: ignore[reportOptionalSubscript]

    async with sessions.begin(["acme"], now=NOW) as session:
        session.write_before_commit(write())
        await session.run("INSERT INTO note VALUES ('acme', '1', 'x')")
    assert seen == [0]
    assert admin.execute("SELECT count(*) FROM note").fetchone() == (1,)


async def test_nothing_is_committed_when_that_fails_and_it_ends_with_its_session(
    sessions: Sessions, admin: Admin
) -> None:
    ended = asyncio.Event()

    async def fail() -> None:
        raise ConnectionError("away")

    async def wait() -> None:
        try:
            await asyncio.sleep(60)  # sleep: a write that hangs
        finally:
            ended.set()

    with pytest.raises(ConnectionError, match="away"):
        async with sessions.begin(["acme"], now=NOW) as session:
            session.write_before_commit(wait())
            session.write_before_commit(fail())
            await session.run("INSERT INTO note VALUES ('acme', '1', 'x')")
            session.emit(event())
    assert ended.is_set()
    assert admin.execute("SELECT count(*) FROM note").fetchone() == (0,)
    assert await waiting(admin) == []


async def test_units_of_work_apart_do_not_wait_for_those_that_are_open(sessions: Sessions) -> None:
    apart = sessions.with_own_pool()
    most: int = sessions.engine.pool.size() + DATABASE_OVERFLOW  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        for _ in range(most):
            await stack.enter_async_context(sessions.begin(["acme"], now=NOW))
        async with apart.begin(["acme"], now=NOW) as session:
            await session.run("INSERT INTO note VALUES ('acme', '1', 'x')")
    await apart.engine.dispose()


async def test_a_connection_that_breaks_at_the_end_is_told_as_any_other(sessions: Sessions, admin: Admin) -> None:
    with pytest.raises(OperationalError):
        async with sessions.begin(["acme"], now=NOW) as session:
            session.emit(event())
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [await session.scalar("SELECT pg_backend_pid()")])


# The out-tray


async def waiting(admin: Admin) -> list[tuple[Any, ...]]:
    return admin.execute("SELECT topic, partition, key, headers, value FROM outbox ORDER BY seq").fetchall()


async def test_events_are_recorded_with_their_envelope_in_the_order_of_emitting(
    sessions: Sessions, admin: Admin
) -> None:
    cause = Attributes.create("band.entered", source="kpi-engine", tenant="acme", time=NOW)
    async with sessions.begin(["acme"], now=NOW, cause=cause) as session:
        ids = [session.emit(event(name)) for name in ("ada", "ben", "ada")]
    rows = await waiting(admin)
    assert [row[3]["ce_id"] for row in rows] == [str(each) for each in ids]
    assert [row[2] for row in rows] == [f"acme|{derived_id(name)}" for name in ("ada", "ben", "ada")]
    assert rows[0][1] == rows[2][1]
    for topic, _, _, headers, value in rows:
        attributes = Attributes.from_headers(headers)
        assert (topic, attributes.type, attributes.tenant) == ("assignments", "assignment.assigned", "acme")
        assert (attributes.causationid, attributes.correlationid, attributes.time) == (cause.id, cause.id, NOW)
        assert AssignmentAssigned.model_validate_json(value)


async def test_a_session_that_fails_says_nothing(sessions: Sessions, admin: Admin) -> None:
    with pytest.raises(RuntimeError):
        async with sessions.begin(["acme"], now=NOW) as session:
            session.emit(event())
            await session.execute("INSERT INTO note VALUES ('acme', '1', 'x')")
            raise RuntimeError
    assert await waiting(admin) == []
    assert admin.execute("SELECT count(*) FROM note").fetchone() == (0,)


async def test_only_the_one_writer_writes_to_a_topic(sessions: Sessions, admin: Admin) -> None:
    async with sessions.begin(["acme"], now=NOW) as session:
        for body in (
            ScoreChanged.model_validate(ScoreChanged.example),
            TenantChanged(slug="acme", name="Acme"),
        ):
            with pytest.raises(ValueError, match="one writer"):
                session.emit(body)
    assert await waiting(admin) == []


async def test_a_relay_elsewhere_is_notified_and_one_here_woken(sessions: Sessions, admin: Admin) -> None:
    admin.execute("LISTEN uplift_outbox")
    async with sessions.begin(["acme"], now=NOW) as session:
        session.emit(event())
    assert [each.payload for each in admin.notifies(timeout=5, stop_after=1)] == ["training"]
    sessions.wake = asyncio.Event()
    async with sessions.begin(["acme"], now=NOW) as session:
        session.emit(event())
        assert not sessions.wake.is_set()
    assert sessions.wake.is_set()
    assert list(admin.notifies(timeout=0.1)) == []


async def test_offsets_move_by_compare_and_set(sessions: Sessions) -> None:
    assert await load_next_offset(sessions, "legs", 0) == 0

    async def move(expected: int, to: int) -> None:
        async with sessions.begin([], now=NOW) as session:
            await move_offsets(session, [OffsetUpdate("legs", 0, expected, to)])

    await move(0, 5)
    for stale in (0, 4, 6):
        with pytest.raises(OffsetConflict):
            await move(stale, 9)
    outcomes = await asyncio.gather(*(move(5, 7) for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == [
        "NoneType",
        "OffsetConflict",
        "OffsetConflict",
        "OffsetConflict",
    ]
    assert await load_next_offset(sessions, "legs", 0) == 7
    assert await load_next_offset(sessions, "legs", 1) == 0
    with pytest.raises(OffsetConflict):
        async with sessions.begin([], now=NOW) as session:
            await move_offsets(session, [OffsetUpdate("legs", 1, 0, 3), OffsetUpdate("legs", 0, 5, 9)])
    assert await load_next_offset(sessions, "legs", 1) == 0, "all of them move or none"
    async with sessions.begin([], now=NOW) as session:
        await move_offsets(session, [OffsetUpdate("legs", 1, 0, 3), OffsetUpdate("legs", 0, 7, 9)])
    assert [await load_next_offset(sessions, "legs", partition) for partition in (0, 1)] == [9, 3]
