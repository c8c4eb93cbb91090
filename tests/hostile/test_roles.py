"""Who may do what, tried: every route as everybody, against what the route declares (`route_policy`), in two tenants.

What is refused, and whatever somebody of another tenant tries with ids of this one, changes nothing and shows nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from contracts.assignments import AssignmentAssigned
from contracts.directory import RoleGrant
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from testkit import ISSUER, Cluster, person

from tests.hostile.bodies import WRITES
from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import NOBODY, Route, routes

SEEING = ("team_lead", "trainer", "quality_analyst", "tenant_admin", "integration")


@dataclass(frozen=True)
class Somebody:
    """`sees`: ada is one of those whom they see, with these roles of theirs if any are named; `throughout`: their role is
    not over an org unit only."""

    roles: tuple[tuple[str, str | None], ...]
    is_ada: bool = False
    tenant: str = "acme"

    def sees(self, *roles: str) -> bool:
        over = [unit for role, unit in self.roles if role in SEEING and role in (roles or SEEING)]
        return self.is_ada or (self.tenant == "acme" and bool({None, "team-a"} & {*over}))

    def has(self, *roles: str) -> bool:
        return any(role in roles for role, _ in self.roles)

    def throughout(self, *roles: str) -> bool:
        return any(role in roles and unit is None for role, unit in self.roles)


# ada is an agent of team-a, and it is her data that the ids in addresses are of.
EVERYBODY = {
    "ada": Somebody((("agent", None),), is_ada=True),
    "ben": Somebody((("agent", None),)),
    "lead-a": Somebody((("team_lead", "team-a"),)),
    "lead-b": Somebody((("team_lead", "team-b"),)),
    "trainer": Somebody((("trainer", None),)),
    "trainer-a": Somebody((("trainer", "team-a"),)),
    "trainer-b": Somebody((("trainer", "team-b"),)),
    "analyst": Somebody((("quality_analyst", None),)),
    "analyst-a": Somebody((("quality_analyst", "team-a"),)),
    "analyst-b": Somebody((("quality_analyst", "team-b"),)),
    "admin": Somebody((("tenant_admin", None),)),
    "admin-a": Somebody((("tenant_admin", "team-a"),)),
    "admin-b": Somebody((("tenant_admin", "team-b"),)),
    "machine": Somebody((("integration", None),)),
    "machine-a": Somebody((("integration", "team-a"),)),
    # What one role opens in one team, another role does not open there.
    "analyst-a-trainer-b": Somebody((("quality_analyst", "team-a"), ("trainer", "team-b"))),
    "trainer-a-lead-b": Somebody((("trainer", "team-a"), ("team_lead", "team-b"))),
    "root": Somebody((("platform_admin", None),), tenant="platform"),
}
NEW = EVERYBODY.keys() - {"ada", "ben", "root"}
UNMADE = {"admin-a", "admin-b", "machine-a"}
"""identity gives nobody these roles over an org unit; the directory may still hold some."""
# What depends on more than the role: who may, as the handlers' own words say.
OTHERWISE = {
    # The form is an evaluation.
    "POST forms/forms/{}/submissions": {"lead-a", "analyst", "analyst-a", "analyst-a-trainer-b", "admin", "admin-a"},
    "PUT forms/forms/{}/submissions/{}": {"admin", "admin-a"},  # or its author
    "DELETE forms/forms/{}/submissions/{}": {"admin", "admin-a"},
    "GET identity/org-units/{}": {who for who, them in EVERYBODY.items() if them.sees()} | {"ben", "root"},
    "GET notification/inbox/{}/deliveries": {"ada", "admin", "admin-a"},
}
ABSENT = {"application", "identity-provider", "account"}
"""Parts of addresses of what the set-up lacks, as there is no login provider: who may see it is told that there is none."""
OPEN = {"POST identity/back-channel-logout"}
"""Routes without an access token; the first's parameter is a token of the provider's."""


def plain(route: Route) -> str:
    """The route's name, however the parts of its address are called."""
    return f"{route.method} {route.service}" + "/".join(
        "{}" if part.startswith("{") else part for part in route.path.split("/")
    )


BODIES = {
    f"{write.name.split('/')[0]}/" + "/".join("{}" if part.startswith("{") else part for part in write.name.split("/")[1:]): write
    for write in WRITES
}  # fmt: skip


def in_any_tenant(route: Route) -> bool:
    """Whether a platform_admin may name the tenant."""
    return "tenant" in route.parameters("query") or "tenant" in route.parameters("path") or route.path == "/tenants"


def may(who: str, route: Route) -> bool:
    them, name = EVERYBODY[who], plain(route)
    if them.tenant != "acme" and not in_any_tenant(route):
        return False
    if name in OTHERWISE:
        return who in OTHERWISE[name]
    roles, over = route.described.get("x-roles"), route.described.get("x-roles-over")
    roles = roles and [*roles, *route.described.get("x-roles-dry-run", ())]
    if roles and not (them.throughout(*roles) if over == "tenant" else them.has(*roles)):
        return False
    match route.described["x-reach"]:
        case "tenant":
            return True
        case "own":
            return who == "ada" or not route.parameters("path")
        case _:
            return them.sees(*(roles or ())) or them.has("platform_admin")


@dataclass
class Tried:
    who: str
    route: Route
    answer: httpx.Response

    def __str__(self) -> str:
        return f"{self.who} {self.route.name} {self.answer.status_code}: {self.answer.text[:200]}"


class Matrix:
    def __init__(self, suite: HostileSuite, ids: dict[str, str], database: str) -> None:
        self.suite, self.ids, self.database = suite, ids, database

    def routes(self) -> Iterator[Route]:
        """Each with ids of what there is, or the test fails."""
        for route in routes(self.suite):
            if "x-reach" not in route.described:
                assert plain(route) in OPEN, f"{route.name} does not say who may call it"
            elif not route.streams:
                assert NOBODY not in route.address(self.ids), f"{route.name}: the id is of nothing"
                yield route

    async def attempt(self, who: str, tenant: str, route: Route, *, agent: bool = True, dry_run: bool = True) -> Tried:
        write = BODIES.get(plain(route))
        params = dict(route.needed)
        if agent and "agent" in route.parameters("query"):
            params["agent"] = "ada"
        if who == "root" and "tenant" in route.parameters("query"):
            params["tenant"] = "acme"
        if "dry_run" in route.parameters("query"):
            params["dry_run"] = str(dry_run).lower()
        client = self.suite.harnesses[route.service].client_as(who, tenant)
        body: dict[str, Any] = {}
        if write:
            body = {"json": write.body, "content": write.content, "headers": write.headers}
        if plain(route) == "POST identity/tenants":
            body["json"] = {"slug": f"of-{who}", "name": "X"}
        try:
            return Tried(who, route, await client.request(route.method, route.address(self.ids), params=params, **body))
        finally:
            await client.aclose()

    def state(self) -> dict[str, str]:
        """A digest of all that is kept of acme, by table."""
        with psycopg.connect(self.database, autocommit=True) as admin:
            tables = admin.execute(
                "SELECT DISTINCT table_schema, table_name FROM information_schema.columns JOIN information_schema.tables "
                "USING (table_schema, table_name) WHERE column_name = 'tenant' AND table_type = 'BASE TABLE' "
                "AND table_schema <> 'public'"
            ).fetchall()
            return {
                f"{schema}.{table}": admin.execute(
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{schema}\".\"{table}\" t "  # pyright: ignore[reportArgumentType, reportCallIssue]
                    "WHERE tenant = 'acme'"
                ).fetchall()[0][0]
                for schema, table in tables
            }


@pytest.fixture
async def matrix(own_suite: HostileSuite, cluster: Cluster) -> Matrix:
    boss, root = own_suite.client("identity"), own_suite.client("identity", "root")
    (await boss.post("/org-units", json={"slug": "team-b", "name": "B", "parent": "site"})).raise_for_status()
    for slug in sorted(NEW):
        roles = [{"role": role, "org_unit": unit} for role, unit in EVERYBODY[slug].roles if slug not in UNMADE]
        spec = {"slug": slug, "display_name": slug, "login": {"iss": ISSUER, "sub": slug}, "roles": roles}
        answer = await boss.post("/people", json=spec)
        assert answer.is_success, answer.text
    admin = {"slug": "rival", "display_name": "Rival", "login": {"iss": ISSUER, "sub": "rival"}}
    answer = await root.post("/tenants", json={"slug": "rivals", "name": "Rivals", "admin": admin})
    assert answer.is_success, answer.text
    ids = dict(own_suite.ids)
    for name in ("ada", "boss", "ben", *UNMADE):
        ids[f"id of {name}"] = (await boss.get(f"/people/{name}")).json()["id"]
    ids["id of team-a"] = (await boss.get("/org-units/team-a")).json()["id"]
    await own_suite.deliver_directory_events()
    given = await own_suite.client("training").post("/assignments", json={"agent": "ada", "template": "intro"})
    ids |= dict.fromkeys(("assignment", "assignment_id", "training/assignment"), given.json()["id"])
    found = Matrix(own_suite, ids, cluster.server.url(database=own_suite.database).replace("+psycopg", ""))
    await fill(found)
    return found


async def fill(matrix: Matrix) -> None:
    """The directory's odd people, a dead letter in every service, a notice of ada's, and a delivery that has failed."""
    suite, ids = matrix.suite, matrix.ids
    units = {
        slug: UUID((await suite.client("identity").get(f"/org-units/{slug}")).json()["id"])
        for slug in ("team-a", "team-b")
    }
    for service, harness in suite.harnesses.items():
        for who in sorted(UNMADE):
            roles = [RoleGrant(role=role, org_unit_id=units[unit or ""]) for role, unit in EVERYBODY[who].roles]  # pyright: ignore[reportArgumentType]
            odd = person(who, roles=(), version=9).model_copy(update={"id": UUID(ids[f"id of {who}"]), "roles": roles})
            await harness.deliver(odd, tenant="acme", twice=False)
        topic, door = next(iter(harness.running.doors.items()))
        bad = replace(harness.message(person("x"), tenant="acme", topic=topic), value=b'{"no": "person"}')
        partition = TopicPartition("poison", 0)
        await door.bury(
            bad, ValueError("poison"), OffsetStep("test", partition, await door.load_next_offset("test", partition), 1)
        )
        (letter,) = (await suite.client(service).get("/dead-letters")).json()["items"]
        ids[f"{service}/dead_letter"] = letter["id"]
    of_ada = {**AssignmentAssigned.example, "agent_id": ids["id of ada"]}
    await suite.harnesses["notification"].deliver(AssignmentAssigned.model_validate(of_ada), tenant="acme", twice=False)
    (notice,) = (await suite.client("notification", "ada").get("/inbox")).json()["items"]
    ids["notice"] = notice["id"]
    tested = await suite.client("notification").post("/webhooks/crm/test")
    ids["delivery"] = tested.json()["delivery"]
    with psycopg.connect(matrix.database, autocommit=True) as admin:
        admin.execute("UPDATE notification.delivery SET state = 'failed' WHERE id = %s", [ids["delivery"]])


async def test_everybody_may_what_is_declared_and_nothing_else(matrix: Matrix) -> None:  # noqa: C901, PLR0912 - the matrix of roles, tenants and routes
    wrong: list[str] = []
    ada = matrix.ids["id of ada"]
    before = matrix.state()
    for route in matrix.routes():
        answer = await matrix.suite.client(route.service, None).request(route.method, route.address(matrix.ids))
        if answer.status_code != 401:
            wrong.append(f"nobody {route.name} {answer.status_code}")
        for who, them in EVERYBODY.items():
            if not may(who, route):
                tried = await matrix.attempt(who, them.tenant, route)
                listed = route.described["x-reach"] != "tenant" and route.method == "GET" and tried.answer.is_success
                refused = tried.answer.status_code in (403, 404) or (listed or them.tenant != "acme")
                if not refused or ada in tried.answer.text:
                    wrong.append(f"should be refused: {tried}")
            elif (tries := route.described.get("x-roles-dry-run")) and not them.has(*route.described["x-roles"]):
                tried = await matrix.attempt(who, them.tenant, route, dry_run=False)
                if them.has(*tries) and tried.answer.status_code != 403:
                    wrong.append(f"should be let try only: {tried}")
    assert wrong == []
    after = matrix.state()
    assert {table for table in after if after[table] != before[table]} == set()
    for route in matrix.routes():
        if route.method == "GET":
            for who, them in EVERYBODY.items():
                tried = await matrix.attempt(who, them.tenant, route, agent=may(who, route))
                if may(who, route) and not (tried.answer.is_success or _absent(tried)):
                    wrong.append(f"should be let in: {tried}")
                elif not (them.sees() or may(who, route)) and ada in tried.answer.text:
                    wrong.append(f"shows ada: {tried}")
    assert wrong == []
    for route in matrix.routes():
        if route.method != "GET":
            for who, them in EVERYBODY.items():
                if may(who, route):
                    tried = await matrix.attempt(who, them.tenant, route)
                    if tried.answer.status_code in (401, 403) or tried.answer.status_code >= 500:
                        wrong.append(f"should be let in: {tried}")
    assert wrong == []


def _absent(tried: Tried) -> bool:
    return tried.answer.status_code in (404, 409) and bool(
        ABSENT & set(tried.route.path.strip("/").replace("applications", "application").split("/"))
    )


async def test_another_tenant_sees_and_changes_nothing(matrix: Matrix) -> None:
    """Whose administrator knows all ids here."""
    before = matrix.state()
    told = {value for value in matrix.ids.values() if len(value) == 36 and set(value) & set("123456789")}
    wrong: list[str] = []
    for agent in (True, False):
        for route in matrix.routes():
            tried = await matrix.attempt("rival", "rivals", route, agent=agent)
            asked = route.address(matrix.ids)
            shown = {value for value in told if value in tried.answer.text and value not in asked}
            if tried.answer.status_code >= 500 or shown:
                wrong.append(f"shows {shown}: {tried}")
            if "tenant" in route.parameters("path") and tried.answer.status_code not in (403, 422):
                wrong.append(str(tried))
            if set(asked.split("/")) & told and tried.answer.is_success:
                wrong.append(f"answers about an id of another tenant: {tried}")
    assert wrong == []
    after = matrix.state()
    assert {table for table in after if after[table] != before[table]} == set()
