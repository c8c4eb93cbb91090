"""What the login provider shall hold, and how far it is with it; and which logout tokens were heard."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, Login
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from identity.model.people import ProviderAccount, ProviderLogins
from identity.store.tables import desired_resource, logout_token


async def find(session: Session, kind: str, slug: str, *, lock: bool = False) -> dict[str, Any] | None:
    query = select(desired_resource).where(
        desired_resource.c.tenant == session.tenant, desired_resource.c.kind == kind, desired_resource.c.slug == slug
    )
    return await session.row(query.with_for_update() if lock else query)


async def find_person_by_username(session: Session, username: str) -> str | None:
    """The id of the person whose account has this username, open or closed."""
    return await session.scalar(
        "SELECT slug FROM provision WHERE tenant = :tenant AND kind = 'account' AND wanted->>'username' = :username",
        {"tenant": session.tenant, "username": username},
    )


async def list_closed_accounts(session: Session) -> set[UUID]:
    """The people whose account was closed."""
    rows = await session.rows(
        "SELECT slug FROM provision WHERE tenant = :tenant AND kind = 'account' AND NOT (wanted->>'open')::boolean",
        {"tenant": session.tenant},
    )
    return {UUID(row["slug"]) for row in rows}


async def load_provider_logins(session: Session, issuer: str) -> ProviderLogins:
    """What the login provider keeps for the tenant's people and machines. `issuer` is its name in the directory."""
    rows = await session.rows(
        "SELECT p.id, r.kind, r.sub, r.wanted->>'username' AS username, r.wanted->>'email' AS own, "
        "p.state->>'email' AS email FROM provision r JOIN person p ON p.tenant = r.tenant AND CASE r.kind "
        "WHEN 'account' THEN p.id::text = r.slug ELSE r.wanted->>'person' IN (p.slug, p.id::text) END "
        "WHERE r.tenant = :tenant AND r.kind IN ('account', 'application')",
        {"tenant": session.tenant},
    )
    return ProviderLogins(
        logins={Login(iss=issuer, sub=row["sub"]): row["id"] for row in rows if row["sub"]},
        accounts={
            row["id"]: ProviderAccount(row["username"], row["own"], row["own"] or row["email"])
            for row in rows
            if row["kind"] == "account"
        },
    )


async def list_all(session: Session, kind: str | None = None) -> list[dict[str, Any]]:
    query = select(desired_resource).where(desired_resource.c.tenant == session.tenant)
    if kind is not None:
        query = query.where(desired_resource.c.kind == kind)
    return await session.rows(query.order_by(desired_resource.c.kind, desired_resource.c.slug))


async def upsert(
    session: Session, kind: str, slug: str, desired: dict[str, Any], *, deleting: bool, sealed: str | None, at: datetime
) -> None:
    """`leaving`: to be taken away. Secrets that wait still (`sealed`) are kept unless there are new ones."""
    values: dict[str, Any] = {
        "wanted": desired,
        "leaving": deleting,
        "state": "waiting",
        "error": None,
        "attempts": 0,
        "asked_at": at,
    }
    statement = insert(desired_resource).values(tenant=session.tenant, kind=kind, slug=slug, sealed=sealed, **values)
    if sealed is not None:
        values["sealed"] = sealed
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "kind", "slug"], set_=values))


async def mark_waiting(session: Session, kind: str, slugs: Collection[str], *, at: datetime) -> list[str]:
    """Those of `slugs` that are there, now waiting."""
    statement = (
        update(desired_resource)
        .where(
            desired_resource.c.tenant == session.tenant,
            desired_resource.c.kind == kind,
            desired_resource.c.slug.in_(slugs),
        )
        .values(state="waiting", attempts=0, asked_at=at)
        .returning(desired_resource.c.slug)
    )
    return list((await session.execute(statement)).scalars())


async def list_waiting(session: Session) -> list[tuple[str, str, str]]:
    """Tenant, kind and slug of what waits, of all tenants that the session sees."""
    rows = await session.rows(
        select(desired_resource.c.tenant, desired_resource.c.kind, desired_resource.c.slug).where(
            desired_resource.c.state == "waiting"
        )
    )
    return [(row["tenant"], row["kind"], row["slug"]) for row in rows]


async def mark_applied(session: Session, kind: str, slug: str, *, at: datetime, sub: str | None = None) -> None:
    """`sub`: by what an account's or a machine's tokens know it from now on."""
    known = {"sub": sub} if sub else {}
    await _update(session, kind, slug, state="applied", error=None, sealed=None, attempts=0, applied_at=at, **known)


async def mark_failed(session: Session, kind: str, slug: str, *, error: str, final: bool) -> int:
    """`final`: it is not tried again by itself. Returns how often it was tried."""
    row = await find(session, kind, slug)
    attempts = (row["attempts"] if row else 0) + 1
    await _update(
        session, kind, slug, state="failed" if final else "waiting", error=error[:1000], attempts=min(attempts, 1000)
    )
    return attempts


async def delete(session: Session, kind: str, slug: str) -> None:
    await session.execute(
        desired_resource.delete().where(
            desired_resource.c.tenant == session.tenant,
            desired_resource.c.kind == kind,
            desired_resource.c.slug == slug,
        )
    )


async def record_logout_token(session: Session, jti: str, *, now: datetime, remember: timedelta) -> bool:
    """Whether a logout token of this name is heard for the first time. Run as the platform tenant."""
    await session.execute(
        logout_token.delete().where(logout_token.c.tenant == PLATFORM_TENANT, logout_token.c.until < now)
    )
    values = {"tenant": PLATFORM_TENANT, "jti": jti, "until": now + remember}
    statement = insert(logout_token).values(values).on_conflict_do_nothing().returning(logout_token.c.jti)
    return await session.scalar(statement) is not None


async def _update(session: Session, kind: str, slug: str, **values: Any) -> None:
    await session.execute(
        update(desired_resource)
        .where(
            desired_resource.c.tenant == session.tenant,
            desired_resource.c.kind == kind,
            desired_resource.c.slug == slug,
        )
        .values(**values)
    )
