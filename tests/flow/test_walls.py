"""Walls: between tenants, between agents, between teams, and before whoever has no valid token.

Two tenants are alike to the last slug, vendor's id and contact, and differ in what is written: each has its brand in
every text that a person can choose, so that a leak can be read. Every route of every service is walked; a route, or a
parameter, that is new here is walked too, or fails until somebody says what it is filled with.
"""

import base64
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import psycopg
import pytest
from contracts import ALL_SERVICES, Attributes
from contracts.assignments import AssignmentCompleted
from contracts.legs import LegRecorded
from joserfc import jwt
from joserfc.jwk import RSAKey
from messaging.broker import Outgoing, TopicPartition
from messaging.consumer import OffsetStep
from storage.embedded import EmbeddedPostgres
from testkit import Harness, org_unit, parse_instant, person, person_id
from testkit import tenant as tenant_of

from tests.examples import NAMES, SECTIONS
from tests.flow.routes import Answer, Route, Values, request_all_routes, routes
from tests.flow.scenario import SOURCE, TEAMS, blueprint, contact, records_of
from tests.flow.steps import post_records, publish, set_up_tenant, user
from tests.flow.suite import PLAIN, Embedded

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

NORTH, SOUTH = "north", "south"
BRANDS = {NORTH: "brandnorthernlights", SOUTH: "brandsoutherncross"}
OTHERS = {"ada": set(TEAMS) - {"ada"}, "lea": {who for who, team in TEAMS.items() if team != "team-a"}}
# What has nothing in it that is the tenant's own, even for those who may see it.
SAYS_NOTHING = {
    "GET forms/forms/{form}/versions",
    "GET identity/tenants",
    "GET identity/tenants/{tenant}",
    # Of Keycloak, which this shape has none of.
    "GET identity/people/{person}/account",
    "GET identity/tenants/{tenant}/applications",
    "GET identity/tenants/{tenant}/applications/{application}",
    "GET identity/tenants/{tenant}/identity-provider",
    "GET identity/tenants/{tenant}/sign-on",
    "GET kpi-engine/standard-kpis",
    "GET kpi-engine/reconciliation",
    "GET training/skipped",
    "GET training/rules",
    "GET training/rules/{rule}",
    "GET notification/inbox/count",
    "GET notification/rules",
    "GET notification/rules/{rule}",
    "GET identity/feature-flags",  # without a file of flags they are the same for every tenant
    "GET identity/audit",  # its entries are of today, and the walk asks for days of the scenario
    *(f"GET {service}/behind" for service in ALL_SERVICES),
}


def branded(brand: str) -> dict[str, Any]:
    bundle = deepcopy(blueprint())
    sections = bundle["sections"]
    for each in sections["identity"]["people"]:
        each["display_name"] += f" {brand}"
        each["email"] = f"{each['slug']}@{brand}.example.org"
    for each in sections["identity"]["org_units"]:
        each["name"] += f" {brand}"
    for name, things in (
        ("kpi-engine", "kpis"),
        ("training", "templates"),
        ("gamification", "rules"),
        ("gamification", "leaderboards"),
        *((service, things) for service, example in SECTIONS.items() for things in example),
    ):
        for each in sections[name][things]:
            each["title"] = {"en": f"{each['title']['en']} {brand}"}
    sections["training"]["templates"][0]["body"] = {"en": f"Say what you are doing, {brand}."}
    sections["ingest"]["sources"][0]["options"] = {"reason_attribute": brand}
    sections["forms"]["forms"] = [
        {
            "form": "review",
            "title": {"en": f"Review {brand}"},
            "kind": "evaluation",
            "about": "agent",
            "schema": {
                "type": "object",
                "properties": {
                    "greeting": {"title": f"Greeting {brand}", "enum": ["yes", "no"]},
                    "comment": {"title": "Comment", "type": "string", "maxLength": 200},
                },
            },
            "sections": [{"section": "all", "questions": ["greeting", "comment"]}],
            "scoring": {
                "sections": {"all": {"weight": 1}},
                "questions": {"greeting": {"points": {"yes": 1, "no": 0}}},
            },
        }
    ]
    sections["notification"]["texts"] = {
        "assignment.assigned": {"en": {"subject": f"Something to learn, {brand}", "body": f"{brand}: look into it."}},
    }
    return bundle


def poison(tenant: str, brand: str) -> Outgoing:
    """A person who is none: every service keeps a copy of the directory, so every service buries it."""
    attributes = Attributes.create(
        "person.changed", source="test", tenant=tenant, time=parse_instant("2026-03-02T08:00Z")
    )
    return Outgoing(
        "directory", 0, f"person.changed/{tenant}/x", json.dumps({"no": brand}).encode(), attributes.to_headers()
    )


@dataclass
class World:
    """`values`: by tenant, what routes of it can be filled with. `seen`: by tenant, the ids that its own people see."""

    suite: Embedded
    people: dict[str, dict[str, str]]
    things: dict[str, dict[str, set[str]]]
    values: dict[str, Values]
    own: dict[str, list[Answer]]


@pytest.fixture(scope="module")
def world(started: Embedded) -> World:
    for tenant, brand in BRANDS.items():
        set_up_tenant(started, tenant, branded(brand))
        fill(started, tenant, brand)
    found = World(started, {}, {}, {}, {})
    for tenant in BRANDS:
        found.people[tenant] = {
            each["slug"]: each["id"] for each in started.all_items(user("boss", tenant), "/api/identity/v1/people")
        }
        found.values[tenant] = values_of(found, tenant)
        found.things[tenant] = things_of(found, tenant)
        found.own[tenant] = [
            answer
            for who in ("boss", "finn")
            for answer in request_all_routes(started, user(who, tenant), found.values[tenant])
        ]
    return found


def fill(suite: Embedded, tenant: str, brand: str) -> None:
    """Calls of three days, so three agents are to learn, one has learned, and points were given; a stranger's call and
    a broken one; two reviews; a webhook with a delivery; a dead letter in every service."""
    boss = user("boss", tenant)
    for day in range(3):
        records = records_of(day)
        for record in records:
            if "Queue" in record:
                record["Queue"]["Name"] = f"Billing {brand}"
                record["Attributes"] = {"language": brand}
        post_records(suite, tenant, records)
    stranger = contact("ada", 3, 0)
    stranger |= {"ContactId": f"stranger-{brand}"}
    stranger["Agent"] = {**stranger["Agent"], "Username": f"stranger-{brand}", "ARN": None}
    post_records(suite, tenant, [stranger, {**contact("ada", 3, 1), "ContactId": "broken", "Channel": brand}])
    suite.wait_until_idle()
    (mine,) = suite.all_items(user("ada", tenant), "/api/training/v1/assignments")
    suite.call(user("ada", tenant), "POST", f"/api/training/v1/assignments/{mine['id']}/start")
    suite.call(user("ada", tenant), "POST", f"/api/training/v1/assignments/{mine['id']}/complete", json={})
    people = {each["slug"]: each["id"] for each in suite.all_items(boss, "/api/identity/v1/people")}
    for agent in ("ada", "finn"):
        review = {"agent_id": people[agent], "answers": {"greeting": "yes", "comment": brand}, "notes": brand}
        suite.call(user("quinn", tenant), "POST", "/api/forms/v1/forms/review/submissions", json=review)
    webhook = {"url": f"https://{brand}.example.org/hook", "events": ["points.reversed"]}
    suite.call(boss, "PUT", "/api/notification/v1/webhooks/crm", json=webhook)
    suite.call(boss, "POST", "/api/notification/v1/webhooks/crm/test")
    publish(suite, [poison(tenant, brand)])
    suite.wait_until_idle()


def values_of(world: World, tenant: str) -> dict[str, list[str]]:
    """What each parameter of a route may be filled with; finn is the person whom not everybody may see."""
    suite, boss = world.suite, user("boss", tenant)
    of_finn = {"agent": world.people[tenant]["finn"]}
    (assignment,) = suite.all_items(boss, "/api/training/v1/assignments", **of_finn)
    (submission,) = suite.all_items(boss, "/api/forms/v1/forms/review/submissions", **of_finn)
    (interaction,) = suite.all_items(boss, "/api/ingest/v1/interactions", external_id="finn-00-00")
    notices = suite.all_items(user("finn", tenant), "/api/notification/v1/inbox")
    receipts = suite.all_items(boss, "/api/ingest/v1/receipts")
    deliveries = suite.all_items(boss, "/api/notification/v1/webhooks/crm/deliveries")
    units = suite.all_items(boss, "/api/identity/v1/org-units")
    (team,) = [each["id"] for each in units if each["slug"] == "team-b"]
    letters = {}
    for service in sorted({each.service for each in routes(suite)}):
        found = suite.all_items(boss, f"/api/{service}/v1/dead-letters")
        letters[f"{service}/dead_letter"] = [each["id"] for each in found]
        assert found, f"{service} has buried nothing"
    finn, teams = [world.people[tenant]["finn"], "finn"], [team, "team-b"]
    return {
        **letters, "person": finn, "agent": finn, "org_unit": teams, "team": teams, "tenant": [tenant],
        "source": [SOURCE], "receipt": [each["id"] for each in receipts[:2]], "interaction": [interaction["id"]],
        "external_id": ["finn-00-00"], "kpi": ["silence_pct"], "from": ["2026-03-01"], "to": ["2026-03-31"],
        "template": ["silence-basics"], "version": ["1"], "assignment": [assignment["id"]],
        "training/rule": ["silence-coach"], "gamification/rule": ["trained"], "notification/rule": ["assigned"], "notification/text": ["assignment.assigned"], "leaderboard": ["all"], "form": ["review"],
        "submission": [submission["id"]], "notice": [each["id"] for each in notices],
        "webhook": ["crm"], "delivery": [each["id"] for each in deliveries],
        "kpi-engine/by": ["agent", "team", "org_unit", "queue", "attributes.language"], "identity/by": [f"{tenant}/boss"],
        "application": ["crm"], "identity/text": ["finn"],
        **{name: [value] for name, value in NAMES.items()},
    }  # fmt: skip


def things_of(world: World, tenant: str) -> dict[str, set[str]]:
    """By agent: the agent's own id, name, calls, and the ids of what is theirs alone."""
    suite, boss = world.suite, user("boss", tenant)
    things = {
        who: {world.people[tenant][who], f"{who.title()} {BRANDS[tenant]}", f"{who}-00-00", f"{who}-01-00"}
        for who in TEAMS
    }
    slug = {identifier: who for who, identifier in world.people[tenant].items()}
    for path in (
        "/api/training/v1/assignments",
        "/api/gamification/v1/ledger",
        "/api/forms/v1/forms/review/submissions",
    ):
        for each in suite.all_items(boss, path):
            things[slug[each["agent_id"]]].add(each["id"])
    for who in TEAMS:
        for each in suite.all_items(user(who, tenant), "/api/notification/v1/inbox"):
            things[who].add(each["id"])
        (call,) = suite.all_items(boss, "/api/ingest/v1/interactions", external_id=f"{who}-00-00")
        things[who].add(call["id"])
    return things


def test_every_route_has_something_to_hide(world: World) -> None:
    """The walk is worth something: on every route, somebody of the tenant is shown what is the tenant's own."""
    nobodys = platform_ids(world)
    told = {
        answer.route.name
        for answer in world.own[NORTH]
        if answer.status == 200 and (BRANDS[NORTH] in answer.text or answer.ids() - nobodys)
    }
    silent = {each.name for each in routes(world.suite) if each.method == "GET"} - told
    assert silent == SAYS_NOTHING


@pytest.mark.parametrize("who", ["boss", "lea", "ada"])
def test_no_tenant_sees_another(world: World, who: str) -> None:
    """With every id and name of the north in hand, nobody of the south is told anything of it; nor with the own."""
    ids = set().union(*(answer.ids() for answer in world.own[NORTH]))
    ids -= platform_ids(world)
    for values in (world.values[NORTH], world.values[SOUTH]):
        for answer in request_all_routes(world.suite, user(who, SOUTH), values):
            assert BRANDS[NORTH] not in answer.text.lower(), f"{answer.asked}: {answer.text[:2000]}"
            assert not answer.ids() & ids, f"{answer.asked}: {answer.ids() & ids} in {answer.text[:2000]}"


def platform_ids(world: World) -> set[str]:
    """Ids that belong to no tenant: whoever runs the platform."""
    return {each["id"] for each in world.suite.all_items("platform", "/api/identity/v1/people", tenant="platform")}


def test_a_forged_tenant_changes_nothing(world: World) -> None:
    forged: dict[str, str] = dict.fromkeys(
        ("x-tenant", "x-tenant-id", "tenant", "ce_tenant", "x-forwarded-tenant"), NORTH
    )
    plain = {
        answer.asked: answer for answer in request_all_routes(world.suite, user("boss", SOUTH), world.values[SOUTH])
    }
    for answer in request_all_routes(world.suite, user("boss", SOUTH), world.values[SOUTH], forged):
        assert answer.status == plain[answer.asked].status, answer.asked
        assert BRANDS[NORTH] not in answer.text.lower(), answer.asked
        assert answer.ids() <= plain[answer.asked].ids(), answer.asked


def test_nobody_acts_on_what_is_another_tenants(world: World) -> None:
    """Every writing route with an id of the north is refused to the south's admin, and nothing of the north changes."""
    before = stable(world.own[NORTH])
    tried = set()
    for route in routes(world.suite):
        if route.method == "GET" or not route.in_path:
            continue
        filled = {each: route.values_of(each, world.values[NORTH])[0] for each in route.in_path}
        if not any(value in filled.values() for value in ids_in(filled)) and "tenant" not in filled:
            continue  # what is named by a slug is the south's own of that name
        tried.add(route.name)
        answer = world.suite.request(user("boss", SOUTH), route.method, route.build_url(filled), json=body_for(route))
        assert answer.status_code in (403, 404), f"{route.name}: {answer.status_code} {answer.text[:500]}"
    assert {"DELETE ingest/receipts/{receipt}", "PATCH identity/people/{person}"} <= tried
    world.suite.wait_until_idle()
    again = [
        answer
        for who in ("boss", "finn")
        for answer in request_all_routes(world.suite, user(who, NORTH), world.values[NORTH])
    ]
    assert stable(again) == before


def ids_in(filled: dict[str, str]) -> list[str]:
    return [value for value in filled.values() if value.count("-") == 4]


def body_for(route: Route) -> dict[str, Any]:
    """A body that the route would take, as far as its address decides."""
    return {
        "PATCH identity/people/{person}": {"active": False},
        "PATCH identity/org-units/{org_unit}": {"name": "Taken over"},
        "PATCH identity/tenants/{tenant}": {"name": "Taken over"},
        "POST identity/tenants/{tenant}/clock": {"now": "2027-01-01T00:00:00Z"},
        "PUT identity/tenants/{tenant}/blueprint": blueprint(),
        "PUT identity/tenants/{tenant}/applications/{application}": {"protocol": "machine", "person": "boss"},
        "PUT identity/tenants/{tenant}/identity-provider": {
            "protocol": "oidc",
            "client_id": "x",
            **dict.fromkeys(("issuer", "authorization_url", "token_url", "jwks_url"), "https://id.example.org"),
        },
        "POST identity/people/{person}/account": {"username": "taken.over"},
        "PUT forms/forms/{form}/submissions/{submission}": {"answers": {"greeting": "no"}},
    }.get(route.name, {})


def stable(answers: Sequence[Answer]) -> list[tuple[str, int, str]]:
    """Answers without what goes on by itself: the hour, attempts to deliver, the stream's heartbeat."""
    moving = ("/me", "/stream", "/webhooks/{webhook}/deliveries")
    return [(each.asked, each.status, each.text) for each in answers if each.route.path not in moving]


def test_no_tenant_makes_a_platform_admin(world: World) -> None:
    roles = {"roles": [{"role": "platform_admin"}]}
    path = "/api/identity/v1/people/dan"
    assert world.suite.request(user("boss", SOUTH), "PATCH", path, json=roles).status_code == 422
    as_other = world.suite.request(
        user("boss", SOUTH), "GET", "/api/kpi-engine/v1/dead-letters", params={"tenant": NORTH}
    )
    assert {each["tenant"] for each in as_other.json().get("items", [])} <= {SOUTH}


@pytest.mark.parametrize("who", ["ada", "lea"])
def test_an_agent_sees_no_other_agent_and_a_lead_no_other_team(world: World, who: str) -> None:
    """finn is on another team: with his ids, his things' ids and his contacts' in hand, ada and lea learn nothing."""
    hidden = set().union(*(world.things[NORTH][each] for each in OTHERS[who]))
    allowed = set().union(*(world.things[NORTH][each] for each in TEAMS if each not in OTHERS[who]))
    seen: set[str] = set()
    for answer in request_all_routes(world.suite, user(who, NORTH), world.values[NORTH]):
        told = {each for each in hidden if each in answer.text.replace(answer.asked.partition("?")[0], "")}
        told -= {value for value in world.values[NORTH]["external_id"] if value in answer.asked}
        told -= {each for each in told if each in answer.asked}
        assert not told, f"{answer.asked}: {told} in {answer.text[:2000]}"
        seen |= {each for each in allowed if each in answer.text}
        asks = answer.asked.partition("?")[2]
        if "agent=" in asks:
            assert answer.status in (403, 404) or not json.loads(answer.text)["items"], f"{answer.asked}: {answer.text}"
    assert len(seen) > 5, "what is theirs they do see"


@pytest.mark.parametrize("who", ["ada", "lea"])
def test_nobody_acts_on_what_is_another_persons(world: World, who: str) -> None:
    for route in routes(world.suite):
        filled = {each: route.values_of(each, world.values[NORTH])[0] for each in route.in_path}
        if route.method == "GET" or not ids_in(filled):
            continue
        answer = world.suite.request(user(who, NORTH), route.method, route.build_url(filled), json=body_for(route))
        assert answer.status_code in (403, 404), f"{route.name}: {answer.status_code} {answer.text[:500]}"
    assign = {"agent": "finn", "template": "silence-basics"}
    assert world.suite.request(user(who, NORTH), "POST", "/api/training/v1/assignments", json=assign).status_code == 403
    review = {"agent_id": world.people[NORTH]["finn"], "answers": {"greeting": "no"}}
    path = "/api/forms/v1/forms/review/submissions"
    assert world.suite.request(user(who, NORTH), "POST", path, json=review).status_code == 403


def test_an_agent_does_not_see_whose_call_it_was_before(world: World) -> None:
    """A call that was finn's by mistake and is ada's now: she sees her version of it, he sees none any more."""
    suite, finn = world.suite, world.people[NORTH]["finn"]
    post_records(suite, NORTH, [{**contact("finn", 4, 0), "ContactId": "moved"}])
    post_records(suite, NORTH, [{**contact("ada", 4, 0, updated_minutes=60), "ContactId": "moved"}])
    (call,) = suite.all_items(user("boss", NORTH), "/api/ingest/v1/interactions", external_id="moved")
    path = f"/api/ingest/v1/interactions/{call['id']}"
    assert finn in suite.request(user("quinn", NORTH), "GET", path).text, "those who answer for the records see both"
    hers = suite.request(user("ada", NORTH), "GET", path)
    assert world.people[NORTH]["ada"] in hers.text
    assert finn not in hers.text
    assert "finn" not in hers.text
    assert suite.request(user("finn", NORTH), "GET", path).status_code == 404


# Tokens


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims)]
    return ".".join([*parts, ""])


@pytest.fixture(scope="module")
def bad_tokens(world: World) -> dict[str, str | None]:
    """Tokens of north's admin, each with one thing wrong; signed, where it is not about that, with the very key."""
    good = world.suite.token(user("boss", NORTH))
    header, claims = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in good.split(".")[:2]]
    dsn = EmbeddedPostgres(world.suite.data).url("oidc", "uplift").replace("postgresql+psycopg:", "postgresql:", 1)
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT jwk FROM oidc.signing_key WHERE kid = %s", [header["kid"]]).fetchall()
    ((jwk,),) = found
    key, other = RSAKey.import_key(jwk), RSAKey.generate_key(2048, {"kid": header["kid"]}, auto_kid=False)

    def signed(key: RSAKey = key, **changes: Any) -> str:
        whole = {**header, **changes.pop("header", {})}
        return jwt.encode(whole, {**claims, **changes}, key)

    assert call_with(world, signed()) == 200, "the same claims, signed here, are taken"
    now = int(time.time())
    return {
        "none": None,
        "garbage": "abc.def.ghi",
        "expired": signed(iat=now - 7200, nbf=now - 7200, exp=now - 3600),
        "not valid yet": signed(nbf=now + 3600),
        "other audience": signed(aud="somebody-else"),
        "other issuer": signed(iss="https://issuer.example.org"),
        "no tenant": signed(tenant=None),
        "two tenants": signed(tenant=[NORTH, SOUTH]),
        "an ID token": signed(header={"typ": "JWT"}),
        "alg none": unsigned(claims, {**header, "alg": "none"}),
        "alg HS256": unsigned(claims, {**header, "alg": "HS256"}) + "c2lnbmVk",
        "other key": signed(other),
        "unsigned": unsigned(claims, header),
    }


def call_with(world: World, token: str | None) -> int:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{world.suite.url}/api/identity/v1/me", headers=headers, timeout=20, verify=PLAIN).status_code


def test_every_route_refuses_a_bad_token(world: World, bad_tokens: dict[str, str | None]) -> None:
    with httpx.Client(base_url=world.suite.url, timeout=60, verify=PLAIN) as client:
        for route in routes(world.suite):
            if route.path == "/back-channel-logout":
                continue  # its one parameter is a token of the provider's, which it checks instead
            filled = {each: route.values_of(each, world.values[NORTH])[0] for each in route.in_path}
            query = {each: route.values_of(each, world.values[NORTH])[0] for each in route.needed}
            body = None if route.method == "GET" else body_for(route)
            for wrong, token in bad_tokens.items():
                headers = {"authorization": f"Bearer {token}"} if token else {}
                answer = client.request(route.method, route.build_url(filled), params=query, json=body, headers=headers)
                assert answer.status_code == 401, f"{route.name}, {wrong}: {answer.status_code} {answer.text[:300]}"
                assert answer.headers["content-type"] == "application/problem+json", route.name
                assert answer.headers["www-authenticate"].startswith("Bearer"), route.name


# A batch that holds both tenants


async def through_one_batch(h: Harness, events: list[tuple[str, Any]]) -> None:
    """Events of several tenants through the event door as one batch, and once more."""
    messages = [h.message(body, tenant=tenant, at=parse_instant("2026-03-02T08:00Z")) for tenant, body in events]
    (topic,) = {message.topic for message in messages}
    door, partition = h.running.doors[topic], TopicPartition(topic, 0)
    expected = await door.load_next_offset("test", partition)
    await door.apply(messages, [OffsetStep("test", partition, expected, messages[-1].offset + 1)])
    await door.apply(messages, [OffsetStep("test", partition, messages[-1].offset + 1, messages[-1].offset + 1)])


async def both(h: Harness) -> None:
    for tenant in (NORTH, SOUTH):
        people = [person("ada", team="a"), person("boss", roles=["tenant_admin"])]
        await h.apply_directory(tenant, people=people, org_units=[org_unit("a")], of_tenant=tenant_of(tenant))


def leg(talk: int, **fields: Any) -> LegRecorded:
    """The same leg of the same interaction and agent, with this talk time."""
    return LegRecorded(
        interaction_id=person_id("an interaction"), leg=1, source=SOURCE, vendor="amazon-connect", external_id="c",
        agent_id=person_id("ada"), channel="voice", started_at=parse_instant("2026-03-02T08:00Z"), workday=date(2026, 3, 2),
        talk_ms=talk, hold_ms=0, acw_ms=0, handle_ms=talk, answered=True, **{"version": 1, **fields},
    )  # fmt: skip


async def test_a_batch_of_both_tenants_counts_for_each(harness_for: Callable[..., Awaitable[Harness]]) -> None:
    from kpi_engine.service import service

    h = await harness_for(service)
    await both(h)
    model = {
        "kpi": "talk", "title": {"en": "Talk"}, "unit": "seconds", "direction": "lower_is_better", "source": "legs",
        "value": "sum(talk_ms) / 1000",
    }  # fmt: skip
    for tenant in (NORTH, SOUTH):
        assert (await h.client_as("boss", tenant).put("/kpis/talk", json=model)).status_code == 200
    await through_one_batch(
        h,
        [
            (NORTH, leg(10_000)),
            (SOUTH, leg(70_000)),
            (NORTH, leg(20_000, version=2)),
            (SOUTH, leg(80_000, version=2)),
            (NORTH, leg(5_000, version=1)),
        ],
    )
    query = "/kpis/talk/values?by=agent&from=2026-03-01&to=2026-03-31"
    for tenant, talk in ((NORTH, "20"), (SOUTH, "80")):
        items = (await h.client_as("boss", tenant).get(query)).json()["items"]
        assert [(each["value"], each["sample"]) for each in items] == [(talk, 1)]
        assert (await h.client_as("boss", tenant).get("/reconciliation")).json()["differences"] == []
    explain = "/kpis/talk/explain?agent=ada&from=2026-03-01&to=2026-03-31"
    (fact,) = (await h.client_as("boss", SOUTH).get(explain)).json()["items"]
    assert fact["contribution"]["sum(talk_ms)"] == "80000"


async def test_a_batch_of_both_tenants_rewards_by_each_ones_rules(
    harness_for: Callable[..., Awaitable[Harness]],
) -> None:
    from gamification.service import service

    h = await harness_for(service)
    await both(h)
    for tenant, points in ((NORTH, 10), (SOUTH, 70)):
        rule = {"rule": "trained", "kind": "training_completed", "points": points, "title": {"en": "Trained"}}
        assert (await h.client_as("boss", tenant).put("/rules", json={"rules": [rule]})).status_code == 200
    done = AssignmentCompleted.model_validate({**AssignmentCompleted.example, "agent_id": person_id("ada")})
    await through_one_batch(h, [(NORTH, done), (SOUTH, done), (NORTH, done)])
    for tenant, points in ((NORTH, 10), (SOUTH, 70)):
        entries = (await h.client_as("ada", tenant).get("/ledger")).json()["items"]
        assert [each["points"] for each in entries] == [points]
