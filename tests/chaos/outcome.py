"""What the system made of a crowd's calls, in the form of `crowd.expected`."""

from collections import Counter
from typing import Any

import psycopg
from psycopg import sql

from tests.chaos.crowd import DAYS, Crowd, compute_expected
from tests.flow.scenario import workday
from tests.flow.stack import StackSuite
from tests.flow.steps import user


def load_outcome(suite: StackSuite, tenant: str) -> dict[str, Any]:
    boss = user("boss", tenant)
    people = {each["id"]: each["slug"] for each in suite.all_items(boss, "/api/identity/v1/people")}
    values = suite.all_items(
        boss,
        "/api/kpi-engine/v1/kpis/silence_pct/values",
        by="agent",
        grain="workday",
        **{"from": workday(0).isoformat(), "to": workday(DAYS).isoformat()},
    )
    assignments = suite.all_items(boss, "/api/training/v1/assignments")
    ledger = suite.all_items(boss, "/api/gamification/v1/ledger")
    return {
        "values": sorted(
            ((each["name"] or "").lower(), each["window"], float(each["value"]), each["sample"]) for each in values
        ),
        "assignments": sorted(
            (each["agent"], each["template"], "withdrawn" if each["status"] == "withdrawn" else "open")
            for each in assignments
        ),
        "points": sorted((each["agent"], each["rule"], each["points"]) for each in ledger),
        "notices": dict(sorted(_notices(suite, tenant, people).items())),
    }


def _notices(suite: StackSuite, tenant: str, people: dict[str, str]) -> Counter[tuple[str, str]]:
    """Of everybody, past the API: nobody but the administrator can sign in."""
    with psycopg.connect(suite.stack.database_dsn) as connection:
        rows = connection.execute(
            "SELECT person_id::text, rule FROM notification.notice WHERE tenant = %s", [tenant]
        ).fetchall()
    return Counter((people[person], rule) for person, rule in rows)


def find_differences(crowd: Crowd, found: dict[str, Any]) -> list[str]:
    """Empty when nothing was lost and nothing doubled."""
    said: list[str] = []
    for name, right in compute_expected(crowd).items():
        wrong = Counter(_items(found[name]))
        wrong.subtract(_items(right))
        said += [f"{name}: {item} {count:+d}" for item, count in wrong.items() if count]
    return said


def _items(part: Any) -> list[Any]:
    return list(part.items()) if isinstance(part, dict) else part


def count_dead_letters(suite: StackSuite) -> int:
    """Over all services: chaos must not bury anything."""
    with psycopg.connect(suite.stack.database_dsn) as connection:
        schemas = [
            row[0]
            for row in connection.execute(
                "SELECT table_schema FROM information_schema.tables WHERE table_name = 'dead_letter'"
            )
        ]
        counts = [
            connection.execute(sql.SQL("SELECT count(*) FROM {}.dead_letter").format(sql.Identifier(schema))).fetchall()
            for schema in schemas
        ]
        return sum(count for ((count,),) in counts)
