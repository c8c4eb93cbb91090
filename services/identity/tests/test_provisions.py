"""What waits for the login provider: in which order it is told, and what a new version has it told again."""

from typing import Any

from identity.actions.wanting import ACCOUNT, APPLICATION, BROKER, ORGANIZATION, want
from identity.clock import pick_up
from identity.service import service
from identity.store import provisions
from servicekit.wiring import role_url
from storage.migrate import migrate
from testkit import at

Identity = Any
NOW = at("2026-03-02T08:00Z")
DUE = "SELECT body ->> 'kind' AS kind, body ->> 'slug' AS slug, turn FROM due_item WHERE kind = 'provision'"


async def applied(identity: Identity, tenant: str) -> None:
    """As of a tenant with one of each, all of which the provider has."""
    account = {"username": "ada", "email": None, "existing": False}
    async with identity.harness.kit.sessions.begin([tenant], now=NOW) as session:
        for kind, slug, wanted in (
            (APPLICATION, "crm", {}),
            (BROKER, "own", {}),
            (ACCOUNT, "ada", account),
            (ACCOUNT, "guest", {**account, "existing": True}),
        ):
            await want(session, kind, slug, wanted)
            await provisions.applied(session, kind, slug, at=NOW)
        await provisions.applied(session, ORGANIZATION, tenant, at=NOW)


async def test_a_tenants_things_are_brought_about_in_turn(identity: Identity) -> None:
    for tenant in ("acme", "eta"):
        await identity.tenant(tenant)
        await applied(identity, tenant)
    due = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' = 'acme'")
    assert {row["kind"] for row in due} == {ORGANIZATION, APPLICATION, BROKER, ACCOUNT}
    assert {row["turn"] for row in due} == {"provider acme"}
    others = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' = 'eta'")
    assert {row["turn"] for row in others} == {"provider eta"}


async def test_what_was_put_before_adr_14_is_brought_about_again(identity: Identity) -> None:
    """Also of several tenants, whose rows are walled off from one another."""
    kit = identity.harness.kit
    for tenant in ("acme", "eta"):
        await identity.tenant(tenant)
        await applied(identity, tenant)
    async with kit.sessions.begin(["platform"], now=NOW) as session:
        await session.run("DELETE FROM due_item")
        await session.run("UPDATE alembic_version SET version_num = '2026_11_23_1000_sign_on'")
    migrate(role_url(kit.settings, "identity"), service.migrations)
    for tenant in ("acme", "eta"):
        rows = await identity.harness.rows(tenant, "SELECT kind, slug, state FROM provision")
        waiting = {(row["kind"], row["slug"]) for row in rows if row["state"] == "waiting"}
        assert waiting == {(APPLICATION, "crm"), (BROKER, "own"), (ACCOUNT, "guest")}
    await pick_up(kit)
    due = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' <> 'platform'")
    assert sorted(row["slug"] for row in due) == ["crm", "crm", "guest", "guest", "own", "own"]
    walled = "SELECT relforcerowsecurity AS forced FROM pg_class WHERE relname = 'provision'"
    assert await identity.harness.rows("acme", walled) == [{"forced": True}]
