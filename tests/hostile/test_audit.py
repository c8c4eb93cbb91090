"""The audit log: every write of every service leaves an entry for what it changed, or is told in docs/audit.md not to."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts import ALL_SERVICES, Attributes
from contracts.audit import ConfigurationChanged
from contracts.blueprints import BlueprintPublished
from identity.clients.keycloak import KeycloakProvider
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from sqlalchemy import text
from testkit import parse_instant

from tests import examples
from tests.hostile.bodies import WRITES, Write
from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import Route, routes
from tests.hostile.set_up import FORM, GAME, KPI, MAPPING, NOTICE, PEOPLE, READING, RULE, WEBHOOK

DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
MARK = "hUnTeR2sEcReT"
OIDC = {
    "protocol": "oidc", "issuer": "https://login.example.org", "authorization_url": "https://login.example.org/a",
    "token_url": f"https://login.example.org/t?key={MARK}", "jwks_url": "https://login.example.org/j", "client_id": "x",
    "client_secret": MARK,
}  # fmt: skip
ANSWERED = ("client_secret", "temporary_password", "secret")
"""Secrets that are told once, in answers."""

# What `bodies.py` asks for as it is already, asked for otherwise.
OTHERWISE: dict[str, Any] = {
    "PUT notification/rules": {"rules": [{**NOTICE, "channels": ["in_app", "email"]}]},
    "PUT notification/texts": {
        "texts": {"own": {"en": {"subject": "Hi", "body": f"Write to {MARK}@example.org, password: {MARK}"}}}
    },
    "PUT notification/webhooks/{webhook}": {**WEBHOOK, "url": f"https://example.org/{MARK}0123456789?sig={MARK}"},
    "PUT ingest/sources/{source}": {"title": "Calls, all of them"},
}
MORE = [
    Write("PUT identity/tenants/{tenant}/applications/{application}", {"protocol": "oidc", "redirect_uris": [f"https://crm.example.org/cb?token={MARK}"]}),
    Write("DELETE identity/tenants/{tenant}/applications/{application}"),
    Write("PUT identity/tenants/{tenant}/identity-provider", OIDC),
    Write("DELETE identity/tenants/{tenant}/identity-provider"),
    Write("POST identity/people/{person}/account", {"username": "ada.account", "email": f"{MARK}@example.org"}),
    Write("DELETE identity/people/{person}/account"),
    Write("POST ingest/receipts/{receipt}/cancel"),
    Write("POST notification/webhooks/{webhook}/deliveries/{delivery}/retry"),
    *(Write(f"POST {service}/dead-letters/{{dead_letter}}/replay") for service in ALL_SERVICES),
]  # fmt: skip
# Before these others must have gone, or they are last because they take away what others need.
LAST = (
    "DELETE notification/webhooks/{webhook}",
    "DELETE ingest/receipts/{receipt}",
    "DELETE ingest/sources/{source}",
    "DELETE training/rules/{rule}",
    "DELETE training/templates/{template}",
    "DELETE gamification/leaderboards/{leaderboard}",
    "DELETE gamification/rules/{rule}",
    "DELETE kpi-engine/kpis/{kpi}",
)


def left_out() -> dict[str, str]:
    """By route, why its writes are no changes of configuration, as the page for people says it."""
    section = DOCS.read_text(encoding="utf-8").partition("## What is no change of configuration")[2]
    found = re.findall(r"^\| `([A-Z]+ [^`]+)` \| (.+) \|$", section, re.M)
    return {name.replace("*", each): why for name, why in found for each in (ALL_SERVICES[1:] if "*" in name else [""])}


def writes() -> list[Write]:
    found = {each.name: each for each in [*WRITES, *MORE]}
    for name, body in OTHERWISE.items():
        of = found[name].body
        found[name] = replace(found[name], body={**of, **body} if isinstance(of, dict) else body)
    last = [found.pop(name) for name in LAST]
    return [*found.values(), *last]


@dataclass
class Log:
    """What services say for the audit log, since it was last asked."""

    suite: HostileSuite

    async def entries(self, service: str) -> list[tuple[Attributes, ConfigurationChanged]]:
        harness = self.suite.harnesses[service]
        told = [each for each in await harness.read_outbox() if isinstance(each[1], ConfigurationChanged)]
        async with harness.context.sessions.system_transaction() as connection:
            await connection.execute(text(f"DELETE FROM outbox WHERE topic = '{service}.audit'"))
        return told  # pyright: ignore[reportReturnType]


async def test_every_write_is_held_to_leave_an_entry_or_is_told_why_not(suite: HostileSuite) -> None:
    every = {route.name for route in routes(suite, "POST", "PUT", "PATCH", "DELETE")}
    tried, told = {each.name for each in writes()}, left_out()
    assert every - tried - told.keys() == set(), "give these a request in this test, or a reason in docs/audit.md"
    assert told.keys() - every == set(), "docs/audit.md tells of what is not there"
    assert all(len(reason) > 10 for reason in told.values())


async def test_every_change_leaves_an_entry_and_what_changes_nothing_none(own_suite: HostileSuite) -> None:
    log, known, reasons = Log(own_suite), {each.name: each for each in routes(own_suite)}, left_out()
    await furnish(own_suite)
    for service in ALL_SERVICES:
        await log.entries(service)
    secrets: set[str] = {MARK}
    everything: list[str] = []
    for number, write in enumerate(writes()):
        route = known[write.name]
        await prepare(own_suite, route)
        asked = Asked(own_suite, route, write, f"request-{number}")
        await asked.fail()
        assert await log.entries(route.service) == [], f"{route.name} failed and left an entry"
        if "dry_run" in route.parameters("query"):
            assert (await asked.ask(params={"dry_run": True})).is_success, route.name
            assert await log.entries(route.service) == [], f"{route.name} was only tried and left an entry"
        answer = await asked.ask()
        assert answer.is_success, (route.name, answer.status_code, answer.text)
        secrets |= secrets_in(answer.content)
        entries = await log.entries(route.service)
        everything += [body.model_dump_json() for _, body in entries]
        if route.name in reasons:
            assert entries == [], f"{route.name} leaves an entry, and docs/audit.md says it does not"
        else:
            check(route, write, entries, f"request-{number}")
        await own_suite.deliver_directory_events()
        if route.method in ("PUT", "PATCH"):
            again = await asked.ask()
            assert again.is_success or again.status_code == 409, (route.name, again.text)
            # A secret that is handed over again is told: whether it is the same one nobody here knows.
            left = [each for _, each in await log.entries(route.service) if each.action != "secret_renewed"]
            assert left == [], f"{route.name} changed nothing and left an entry"
    found = "\n".join(everything)
    assert [each for each in secrets if each in found] == []
    assert len(secrets) >= 3, "what was answered once is looked for too"


@dataclass
class Asked:
    suite: HostileSuite
    route: Route
    write: Write
    request_id: str

    async def ask(self, **otherwise: Any):
        address = self.route.address({**self.suite.ids, **self.write.ids})
        sent: dict[str, Any] = {"json": self.write.body, "content": self.write.content, **otherwise}
        headers = {**self.write.headers, "x-request-id": self.request_id}
        client = self.suite.client(self.route.service, self.write.who)
        return await client.request(self.route.method, address, headers=headers, **sent)

    async def fail(self) -> None:
        """By who may not, and with what is not taken."""
        refused = await replace(self, write=replace(self.write, who="stranger")).ask()
        assert refused.status_code in (401, 403, 422), (self.route.name, refused.text)
        if self.write.body:
            wrong = await self.ask(json={"else": 1})
            assert wrong.is_client_error, (self.route.name, wrong.text)


def check(route: Route, write: Write, entries: list[tuple[Attributes, ConfigurationChanged]], request_id: str) -> None:
    assert entries, f"{route.name} changed something and left no entry"
    slug, tenant = ("admin", "platform") if write.who == "root" else ("boss", "acme")
    for attributes, each in entries:
        actor = each.origin.actor
        assert (actor.kind, actor.slug, actor.tenant) == ("person", slug, tenant), (route.name, each)
        assert each.origin.request_id == request_id
        assert attributes.id.version == 7
        assert each.service == route.service
        assert each.kind and each.ref  # noqa: PT018
        states = (each.before, each.after)
        if each.action not in ("secret_renewed", "replayed", "retried"):
            assert states[0] != states[1] or each.changed, (route.name, each)
            assert all(state is None or isinstance(state, dict | list) for state in states), (route.name, each)
        if each.action == "created":
            assert each.before is None
        if each.action == "updated":
            assert each.changed


def secrets_in(answer: bytes) -> set[str]:
    """Secrets that this answer tells."""
    try:
        told = json.loads(answer)
    except ValueError:
        return set()
    return {told[name] for name in ANSWERED if isinstance(told, dict) and told.get(name)}


async def furnish(suite: HostileSuite) -> None:
    """A login provider that is away, and a letter in every service that can be replayed."""
    state = suite.harnesses["identity"].running.parts.state
    state.provider = KeycloakProvider("http://127.0.0.1:1", "x", "x", "uplift")
    for service in ALL_SERVICES:
        harness = suite.harnesses[service]
        topic, door = next((topic, door) for topic, door in harness.running.doors.items() if topic != "directory")
        message = harness.message(BlueprintPublished(version=0, sections={}), tenant="acme", topic=topic)
        partition = TopicPartition(topic, 0)
        expected = await door.load_next_offset("test", partition)
        await door.bury(message, ValueError("poison"), OffsetStep("test", partition, expected, expected + 1))
        letters = await harness.rows("acme", "SELECT id FROM dead_letter")
        suite.ids[f"{service}/dead_letter"] = str(letters[0]["id"])


async def prepare(suite: HostileSuite, route: Route) -> None:
    """What a route needs to have something to do."""
    if route.name == "POST ingest/receipts/{receipt}/cancel":
        await _set(suite, "ingest", "receipt SET status = 'queued'")
    if route.name == "DELETE ingest/receipts/{receipt}":
        await _set(suite, "ingest", "receipt SET status = 'done'")
    if route.name.endswith("/deliveries/{delivery}/retry"):
        await _set(suite, "notification", "delivery SET state = 'failed'")
        (row, *_) = await suite.harnesses["notification"].rows("acme", "SELECT id FROM delivery WHERE webhook = 'crm'")
        suite.ids["delivery"] = str(row["id"])


async def _set(suite: HostileSuite, service: str, what: str) -> None:
    kit = suite.harnesses[service].context
    async with kit.sessions.begin(["acme"], now=parse_instant("2026-03-03T08:00Z")) as session:
        await session.execute(f"UPDATE {what} WHERE tenant = 'acme'")


SECTIONS: dict[str, Any] = {
    "identity": {**PEOPLE, "people": [*PEOPLE["people"][:2], {**PEOPLE["people"][2], "display_name": "Ben Two"}]},
    "ingest": {"sources": [{"source": "calls", "vendor": "generic", "mapping": MAPPING}, {"source": "calls-2", "vendor": "amazon-connect"}]},
    "kpi-engine": {"kpis": [{**{line.partition(": ")[0]: line.partition(": ")[2] for line in KPI.splitlines()}, "title": {"en": "AHT"}, "min_sample": 5}]},
    "training": {"templates": [{"template": "intro", **READING, "minutes": 9}], "rules": [{**RULE, "due_days": 3}]},
    "gamification": {"rules": [{**GAME, "points": 5}], "leaderboards": []},
    "forms": {"forms": [{**FORM, "title": {"en": "Review 3"}}]},
    "notification": {"rules": [NOTICE], "webhooks": [{"webhook": "dwh", **WEBHOOK}]},
    **examples.SECTIONS,
}  # fmt: skip
EXPECTED = {
    "identity": {("person", "ben", "updated"), ("blueprint", "2", "published")},
    "ingest": {("source", "calls-2", "created")},
    "kpi-engine": {("kpi", "aht", "published")},
    "training": {("template", "intro", "updated"), ("template", "intro", "published"), ("rule", "r1", "updated")},
    "gamification": {("rule", "g1", "updated"), ("leaderboard", "all", "deleted")},
    "forms": {("form", "review", "updated"), ("form", "review", "published")},
    "notification": {("webhook", "crm", "deleted"), ("webhook", "dwh", "created")},
    **{
        service: {(kind, ref, action) for kind, ref, action in each.changes}
        for service, each in examples.EXAMPLES.items()
    },
}


async def test_a_blueprint_is_told_thing_by_thing_as_its_publishers(own_suite: HostileSuite) -> None:
    log = Log(own_suite)
    for service in ALL_SERVICES:
        await log.entries(service)
    bundle = {"blueprint": "centre", "sections": SECTIONS}
    asked = {"json": bundle, "headers": {"x-request-id": "publishing"}}
    answer = await own_suite.client("identity").put("/tenants/acme/blueprint", **asked)
    assert answer.is_success, answer.text
    (published,) = await own_suite.harnesses["identity"].read_events(BlueprintPublished, "acme")
    for service in ALL_SERVICES:
        harness = own_suite.harnesses[service]
        if service != "identity":
            await harness.deliver(published, tenant="acme")  # and once more, as a relay that died would
            await harness.tick(parse_instant("2036-01-01T00:00Z"))  # what was left to the clock
        entries = [body for _, body in await log.entries(service)]
        assert {(each.kind, each.ref, each.action) for each in entries} == EXPECTED[service], service
        assert len(entries) == len(EXPECTED[service]), service
        for each in entries:
            assert (each.origin.actor.slug, each.origin.request_id) == ("boss", "publishing")
            assert each.origin.blueprint_version == (None if service == "identity" else 2)


async def test_what_the_clock_brings_about_is_told_as_of_whoever_asked_for_it(own_suite: HostileSuite) -> None:
    log, training = Log(own_suite), own_suite.client("training")
    (await training.put("/templates/intro", json={**READING, "minutes": 3})).raise_for_status()
    publish = await training.post("/templates/intro/publish", json={"at": "2035-01-01T09:00:00Z"})
    assert publish.is_success, publish.text
    assert [each.action for _, each in await log.entries("training")][-2:] == ["updated", "scheduled"]
    await own_suite.harnesses["training"].tick(parse_instant("2035-01-01T09:00Z"))
    ((_, entry),) = await log.entries("training")
    assert (entry.action, entry.origin.actor.slug) == ("published", "boss")
    assert (entry.before["version"], entry.after["version"], entry.after["minutes"]) == (1, 2, 3)
    assert UUID(str(entry.origin.actor.id))
