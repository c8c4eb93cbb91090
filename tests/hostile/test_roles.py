"""Who may do what, tried: every route as everybody, against what the route declares (`accepts`), in two tenants.

What is refused, and whatever somebody of another tenant tries with ids of this one, changes nothing and shows nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from testkit import ISSUER, Cluster

from tests.hostile.bodies import WRITES
from tests.hostile.conftest import Suite
from tests.hostile.routes import Route, routes


@dataclass(frozen=True)
class Somebody:
    """`sees`: ada is one of those whom they see; `throughout`: their role is not over an org unit only."""

    roles: tuple[tuple[str, str | None], ...]
    sees: bool
    tenant: str = "acme"

    def has(self, *roles: str) -> bool:
        return any(role in roles for role, _ in self.roles)

    def throughout(self, *roles: str) -> bool:
        return any(role in roles and unit is None for role, unit in self.roles)


# ada is an agent of team-a, and it is her data that the ids in addresses are of.
EVERYBODY = {
    "ada": Somebody((("agent", None),), sees=True),
    "ben": Somebody((("agent", None),), sees=False),
    "lead-a": Somebody((("team_lead", "team-a"),), sees=True),
    "lead-b": Somebody((("team_lead", "team-b"),), sees=False),
    "trainer": Somebody((("trainer", None),), sees=True),
    "analyst": Somebody((("quality_analyst", None),), sees=True),
    "analyst-a": Somebody((("quality_analyst", "team-a"),), sees=True),
    "analyst-b": Somebody((("quality_analyst", "team-b"),), sees=False),
    "admin": Somebody((("tenant_admin", None),), sees=True),
    "machine": Somebody((("integration", None),), sees=True),
    "root": Somebody((("platform_admin", None),), sees=False, tenant="platform"),
}
NEW = EVERYBODY.keys() - {"ada", "ben", "root"}
# What depends on more than the role: who may, as the handlers' own words say.
OTHERWISE = {
    "POST forms/forms/{}/submissions": {"lead-a", "analyst", "analyst-a", "admin"},  # the form is an evaluation
    "PUT forms/forms/{}/submissions/{}": {"admin"},  # or its author
    "DELETE forms/forms/{}/submissions/{}": {"admin"},
    "GET identity/org-units/{}": {
        "ada",
        "ben",
        "lead-a",
        "trainer",
        "analyst",
        "analyst-a",
        "admin",
        "machine",
        "root",
    },
    "GET notification/inbox/{}/deliveries": {"ada", "admin"},
}
ABSENT = {"application", "identity-provider", "account", "deliveries"}
"""Parts of addresses of what the set-up lacks: who may see it is told that there is none."""


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
            return them.sees or them.has("platform_admin")


@dataclass
class Tried:
    who: str
    route: Route
    answer: httpx.Response

    def __str__(self) -> str:
        return f"{self.who} {self.route.name} {self.answer.status_code}: {self.answer.text[:200]}"


class Matrix:
    def __init__(self, suite: Suite, ids: dict[str, str], database: str) -> None:
        self.suite, self.ids, self.database = suite, ids, database

    def routes(self) -> Iterator[Route]:
        for route in routes(self.suite):
            if "x-reach" in route.described and not route.streams:
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
        client = self.suite.harnesses[route.service].as_(who, tenant)
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
async def matrix(own_suite: Suite, cluster: Cluster) -> Matrix:
    boss, root = own_suite.client("identity"), own_suite.client("identity", "root")
    (await boss.post("/org-units", json={"slug": "team-b", "name": "B", "parent": "site"})).raise_for_status()
    for slug in sorted(NEW):
        roles = [{"role": role, "org_unit": unit} for role, unit in EVERYBODY[slug].roles]
        spec = {"slug": slug, "display_name": slug, "login": {"iss": ISSUER, "sub": slug}, "roles": roles}
        answer = await boss.post("/people", json=spec)
        assert answer.is_success, answer.text
    admin = {"slug": "rival", "display_name": "Rival", "login": {"iss": ISSUER, "sub": "rival"}}
    answer = await root.post("/tenants", json={"slug": "rivals", "name": "Rivals", "admin": admin})
    assert answer.is_success, answer.text
    ids = dict(own_suite.ids)
    for name in ("ada", "boss", "ben"):
        ids[f"id of {name}"] = (await boss.get(f"/people/{name}")).json()["id"]
    ids["id of team-a"] = (await boss.get("/org-units/team-a")).json()["id"]
    await own_suite.settle()
    given = await own_suite.client("training").post("/assignments", json={"agent": "ada", "template": "intro"})
    ids |= dict.fromkeys(("assignment", "assignment_id", "training/assignment"), given.json()["id"])
    return Matrix(own_suite, ids, cluster.server.url(database=own_suite.database).replace("+psycopg", ""))


async def test_everybody_may_what_is_declared_and_nothing_else(matrix: Matrix) -> None:
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
                elif not (them.sees or may(who, route)) and ada in tried.answer.text:
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
