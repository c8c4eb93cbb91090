"""Poison: what a reader cannot handle is put aside whole, the reader goes on, and a replay reaches that reader alone."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from contracts import ALL_SERVICES, Attributes
from contracts.directory import PLATFORM_TENANT
from messaging.broker import Outgoing
from storage.embedded import EmbeddedPostgres
from testkit import parse_instant

from tests.flow.scenario import CALLS_A_DAY, TEAMS, records_of, workday
from tests.flow.steps import post_records, publish, set_up_tenant, user
from tests.flow.suite import PLAIN, UPLIFT, Embedded

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

TENANT = "poisoned"
BOSS = user("boss", TENANT)


@pytest.fixture(scope="module")
def suite(started: Embedded) -> Embedded:
    set_up_tenant(started, TENANT)
    return started


def uplift(suite: Embedded, who: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [UPLIFT, "dead-letters", *arguments, "--url", suite.url, "--token", suite.token(who)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def letters(suite: Embedded, who: str = BOSS, *options: str) -> list[dict[str, Any]]:
    """As the command lists them."""
    done = uplift(suite, who, *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def event(topic: str, type_: str, value: bytes | None, **headers: str) -> Outgoing:
    attributes = Attributes.create(type_, source="test", tenant=TENANT, time=parse_instant("2026-03-02T08:00Z"))
    return Outgoing(topic, 0, f"{TENANT}|poison", value, attributes.to_headers() | headers)


def samples(suite: Embedded, day: int) -> list[int]:
    """How many calls count for each agent on that day."""
    params = {"by": "agent", "from": workday(day).isoformat(), "to": workday(day).isoformat()}
    found = suite.call(BOSS, "GET", "/api/kpi-engine/v1/kpis/aht/values", params=params)["items"]
    return [each["sample"] for each in found]


POISON = {
    "not JSON": (event("legs", "leg.recorded", b"{"), "kpi-engine"),
    "no UTF-8": (event("legs", "leg.recorded", b"\xff\xfe"), "kpi-engine"),
    "no interaction": (event("legs", "leg.recorded", b'{"leg": 1}'), "kpi-engine"),
    "NUL in a text": (event("scores", "score.changed", b'{"agent_id": "\\u0000"}', note="a\x00b"), "gamification"),
    "a number of days": (
        event("blueprints", "blueprint.published", b'{"version": "x", "sections": []}'),
        "training",
    ),
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_put_aside_whole_and_its_reader_goes_on(suite: Embedded, kind: str) -> None:
    message, reader = POISON[kind]
    day = 10 + list(POISON).index(kind)
    known = {letter["id"] for letter in letters(suite)}
    publish(suite, [message])
    post_records(suite, TENANT, records_of(day, ["cleo"]))
    suite.wait_until_idle()

    assert samples(suite, day) == [CALLS_A_DAY], "what came behind it counts"
    assert httpx.get(f"{suite.url}/readyz", timeout=20, verify=PLAIN).json() == {"ready": True, "problems": []}
    new = {letter["service"]: letter for letter in letters(suite) if letter["id"] not in known}
    letter = new[reader]
    assert (letter["topic"], letter["key"], letter["tenant"]) == (message.topic, message.key, TENANT)
    assert {each["topic"] for each in new.values()} == {message.topic}
    assert letter["value"] == (message.value or b"").decode("utf-8", "replace")
    assert letter["headers"] == {name: each.replace("\x00", "\ufffd") for name, each in message.headers.items()}
    assert letter["error"]
    assert "Traceback" in letter["traceback"]
    assert letter["replayed_at"] is None
    again = uplift(suite, BOSS, "replay", reader, letter["id"])
    assert again.returncode == 1
    assert "failed again" in again.stderr, "it is poison still"
    assert letter["id"] in {each["id"] for each in letters(suite)}


def test_what_is_no_event_at_all_goes_to_the_platform(suite: Embedded) -> None:
    publish(suite, [Outgoing("awards", 0, "nobody's", b"what is this", {"a": "header"})])
    suite.wait_until_idle()
    assert not [letter for letter in letters(suite) if letter["key"] == "nobody's"]
    (letter,) = [each for each in letters(suite, "platform", "--service", "notification") if each["key"] == "nobody's"]
    assert (letter["tenant"], letter["headers"], letter["value"]) == (PLATFORM_TENANT, {"a": "header"}, "what is this")
    assert "ce_" in letter["error"] or "id" in letter["error"], "it names what is missing"


@contextmanager
def broken(suite: Embedded, *tables: tuple[str, str]) -> Iterator[None]:
    """As long as it lasts, these tables refuse rows for which the condition holds, as a mistake in a service might."""
    dsn = EmbeddedPostgres(suite.data).url(database="uplift").replace("postgresql+psycopg:", "postgresql:", 1)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table, condition in tables:
            connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (NOT ({condition})) NOT VALID")  # pyright: ignore
        try:
            yield
        finally:
            for table, _ in tables:
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT broken")  # pyright: ignore


def test_mended_and_replayed_it_reaches_that_reader_only(suite: Embedded) -> None:
    """Two readers of the same event cannot handle it. Each is mended; each hears it again when it is asked to."""
    people = {each["slug"]: each["id"] for each in suite.all_items(BOSS, "/api/identity/v1/people")}
    finn, leo = people["finn"], people["leo"]
    with broken(
        suite,
        ("training.assignment", f"agent_id = '{finn}'"),
        ("notification.notice", f"person_id = '{leo}'"),
    ):
        for day in range(3):
            post_records(suite, TENANT, records_of(day))
        suite.wait_until_idle()
    about_finn = {
        letter["service"]: letter
        for letter in letters(suite)
        if letter["topic"] == "bands" and json.loads(letter["value"])["agent_id"] == finn
    }
    assert about_finn.keys() == {"training", "notification"}
    assert all("broken" in letter["error"] for letter in about_finn.values())
    assert about_finn["training"]["offset"] == about_finn["notification"]["offset"]

    def learners() -> set[str]:
        return {each["agent"] for each in suite.all_items(BOSS, "/api/training/v1/assignments")}

    def told() -> int:
        return len(suite.all_items(user("leo", TENANT), "/api/notification/v1/inbox"))

    def bands() -> Any:
        return suite.call(BOSS, "GET", "/api/kpi-engine/v1/bands")["items"]

    before = bands()
    assert len(before) == len(TEAMS), "those whose events were poison are where they belong, too"
    assert (learners(), told()) == ({"ada", "ben"}, 0), "others' events went through"

    done = uplift(suite, BOSS, "replay", "notification", about_finn["notification"]["id"])
    assert done.returncode == 0, done.stderr
    suite.wait_until_idle()
    assert json.loads(done.stdout)["replayed_at"]
    assert (learners(), told()) == ({"ada", "ben"}, 1), "notification heard it, training did not"

    done = uplift(suite, BOSS, "replay", "training", about_finn["training"]["id"])
    assert done.returncode == 0, done.stderr
    suite.wait_until_idle()
    assert (learners(), told()) == ({"ada", "ben", "finn"}, 1), "training heard it, notification not again"
    assert len(suite.all_items(user("finn", TENANT), "/api/notification/v1/inbox")) == 1, "and what follows, followed"
    assert bands() == before

    twice = uplift(suite, BOSS, "replay", "training", about_finn["training"]["id"])
    assert twice.returncode == 1
    assert "replayed" in twice.stderr
    left = {letter["id"] for letter in letters(suite)}
    assert not left & {letter["id"] for letter in about_finn.values()}


def test_dead_letters_are_for_those_who_answer_for_the_tenant(suite: Embedded) -> None:
    for who in ("ada", "lea", "quinn"):
        refused = uplift(suite, user(who, TENANT))
        assert refused.returncode == 1
        assert "tenant_admin" in refused.stderr
    publish(suite, [event("directory", "person.changed", b"[]")])
    suite.wait_until_idle()
    mine = {letter["service"] for letter in letters(suite) if letter["topic"] == "directory"}
    assert mine == set(ALL_SERVICES), "every service has a copy of the directory"
    of_other = letters(suite, "platform", "--tenant", TENANT, "--service", "forms")
    assert of_other == letters(suite, BOSS, "--service", "forms")
    assert of_other
