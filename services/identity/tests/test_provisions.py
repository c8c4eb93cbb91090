"""Reconciling of the login provider: the order of its calls, and what a migration schedules again."""

from collections.abc import Awaitable, Callable
from typing import Any

from identity.actions.desired_state import ACCOUNT, APPLICATION, BROKER, ORGANIZATION, set_desired
from identity.actions.desired_state import RECONCILE_KIND as DUE_KIND
from identity.clients.embedded import EmbeddedProvider
from identity.clock import make_reconcile_handler, resume_reconciling
from identity.service import service
from identity.store import desired_resources
from servicekit.clock_door import ClockDoor
from servicekit.wiring import build_role_url
from storage.migrate import migrate
from testkit import ISSUER, parse_instant

Identity = Any
NOW = parse_instant("2026-03-02T08:00Z")
DUE = "SELECT body ->> 'kind' AS kind, body ->> 'slug' AS slug, turn FROM due_item WHERE kind = 'provision'"


async def applied(identity: Identity, tenant: str) -> None:
    """A tenant with a resource of each kind, all of them applied."""
    account = {"username": "ada", "email": None, "existing": False}
    async with identity.harness.context.sessions.begin([tenant], now=NOW) as session:
        for kind, slug, desired in (
            (APPLICATION, "crm", {}),
            (BROKER, "own", {}),
            (ACCOUNT, "ada", account),
            (ACCOUNT, "guest", {**account, "existing": True}),
        ):
            await set_desired(session, kind, slug, desired)
            await desired_resources.mark_applied(session, kind, slug, at=NOW)
        await desired_resources.mark_applied(session, ORGANIZATION, tenant, at=NOW)


async def test_a_tenants_resources_are_reconciled_in_turn(identity: Identity) -> None:
    for tenant in ("acme", "eta"):
        await identity.tenant(tenant)
        await applied(identity, tenant)
    due = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' = 'acme'")
    assert {row["kind"] for row in due} == {ORGANIZATION, APPLICATION, BROKER, ACCOUNT}
    assert {row["turn"] for row in due} == {"provider acme"}
    others = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' = 'eta'")
    assert {row["turn"] for row in others} == {"provider eta"}


async def test_resources_from_before_adr_14_are_reconciled_again(identity: Identity) -> None:
    """Also those of several tenants, which row-level security separates."""
    kit = identity.harness.context
    for tenant in ("acme", "eta"):
        await identity.tenant(tenant)
        await applied(identity, tenant)
    async with kit.sessions.begin(["platform"], now=NOW) as session:
        await session.run("DELETE FROM due_item")
        await session.run("UPDATE alembic_version SET version_num = '2026_11_23_1000_sign_on'")
    migrate(build_role_url(kit.settings, "identity"), service.migrations)
    for tenant in ("acme", "eta"):
        rows = await identity.harness.rows(tenant, "SELECT kind, slug, state FROM provision")
        waiting = {(row["kind"], row["slug"]) for row in rows if row["state"] == "waiting"}
        assert waiting == {(APPLICATION, "crm"), (BROKER, "own"), (ACCOUNT, "guest")}
    await resume_reconciling(kit)
    due = await identity.harness.rows("platform", f"{DUE} AND body ->> 'tenant' <> 'platform'")
    assert sorted(row["slug"] for row in due) == ["crm", "crm", "guest", "guest", "own", "own"]
    walled = "SELECT relforcerowsecurity AS forced FROM pg_class WHERE relname = 'provision'"
    assert await identity.harness.rows("acme", walled) == [{"forced": True}]


class Slow(EmbeddedProvider):
    """A provider whose calls run `meanwhile`."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__("http://127.0.0.1:1", "identity", "secret")
        object.__setattr__(self, "meanwhile", meanwhile)

    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None:
        await self.meanwhile()  # pyright: ignore[reportAttributeAccessIssue]


async def reconcile_with(identity: Identity, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """Reconciles only acme's organization."""
    sessions = identity.harness.context.sessions
    async with sessions.begin(["platform"], now=NOW) as session:
        await session.run("DELETE FROM due_item WHERE body ->> 'tenant' <> 'acme'")
    await ClockDoor(sessions, {DUE_KIND: make_reconcile_handler(Slow(meanwhile), ISSUER, None)}).tick(NOW)


async def test_the_provider_is_called_in_no_transaction(identity: Identity) -> None:
    await identity.tenant("acme")
    calls = 0
    open_units = (
        "SELECT query FROM pg_stat_activity WHERE usename = current_user AND state LIKE 'idle in transaction%' "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def meanwhile() -> None:
        nonlocal calls
        calls += 1
        assert await identity.harness.rows("acme", open_units) == []
        assert await identity.harness.rows("acme", "SELECT 1 FROM provision FOR UPDATE NOWAIT")

    await reconcile_with(identity, meanwhile)
    (row,) = await identity.harness.rows("acme", "SELECT state FROM provision WHERE kind = 'organization'")
    assert (row["state"], calls) == ("applied", 1)


async def test_a_change_during_a_call_to_the_provider_is_applied_by_another_call(identity: Identity) -> None:
    await identity.tenant("acme")
    calls = 0

    async def meanwhile() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            async with identity.harness.context.sessions.begin(["acme"], now=NOW) as session:
                await set_desired(session, ORGANIZATION, "acme", {"name": "Another", "enabled": True})
            (row,) = await identity.harness.rows("acme", "SELECT state FROM provision WHERE kind = 'organization'")
            assert row["state"] == "waiting"

    await reconcile_with(identity, meanwhile)
    assert calls == 2
    (row,) = await identity.harness.rows("acme", "SELECT state, wanted FROM provision WHERE kind = 'organization'")
    assert (row["state"], row["wanted"]["name"]) == ("applied", "Another")
