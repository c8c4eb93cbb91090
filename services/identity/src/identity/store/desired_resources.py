"""The desired state of the login provider, resource by resource, with the progress of applying it; and the logout tokens that
were used."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, Login
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from identity.model.people import ProviderAccount, ProviderLogins
from identity.store.tables import desired_resource, logout_token

ResourceKind = Literal["organization", "application", "account", "identity_provider"]


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """A resource that the login provider shall hold. `desired`: its specification as JSON, of the model that belongs to its
    kind; `deleting`: it shall be removed; `sealed`: a secret on its way to the provider, encrypted; `sub`: the subject of
    the tokens of an account or a machine; `error` is that of the last attempt; `requested_at`: when `desired` was set."""

    kind: ResourceKind
    slug: str
    desired: dict[str, Any]
    deleting: bool
    sealed: str | None
    sub: str | None
    state: Literal["waiting", "applied", "failed"]
    error: str | None
    attempts: int
    requested_at: datetime
    applied_at: datetime | None


class ResourceKey(NamedTuple):
    """What names a resource across tenants."""

    tenant: str
    kind: str
    slug: str


_COLUMN_NAMES = {"desired": "wanted", "deleting": "leaving", "requested_at": "asked_at"}
"""Columns that are named otherwise than the field of `DesiredResource`."""
_RESOURCES = select(
    *(desired_resource.c[_COLUMN_NAMES.get(name, name)].label(name) for name in DesiredResource.__dataclass_fields__)
)


async def find(session: Session, kind: str, slug: str, *, lock: bool = False) -> DesiredResource | None:
    """A resource of the session's tenant; with `lock` its row stays locked until the transaction ends."""
    query = _RESOURCES.where(
        desired_resource.c.tenant == session.tenant, desired_resource.c.kind == kind, desired_resource.c.slug == slug
    )
    row = await session.row(query.with_for_update() if lock else query)
    return DesiredResource(**row) if row else None


async def find_person_by_username(session: Session, username: str) -> str | None:
    """The id of the person whose account has this username, open or closed."""
    return await session.scalar(
        "SELECT slug FROM provision WHERE tenant = :tenant AND kind = 'account' AND wanted->>'username' = :username",
        {"tenant": session.tenant, "username": username},
    )


async def list_closed_accounts(session: Session) -> set[UUID]:
    """The ids of the people whose account was closed by hand."""
    rows = await session.rows(
        "SELECT slug FROM provision WHERE tenant = :tenant AND kind = 'account' AND NOT (wanted->>'open')::boolean",
        {"tenant": session.tenant},
    )
    return {UUID(row["slug"]) for row in rows}


async def load_provider_logins(session: Session, issuer: str) -> ProviderLogins:
    """The logins and accounts that the login provider holds for the tenant's people and machines. `issuer`: the `iss` of its
    logins in the directory."""
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


async def list_all(session: Session, kind: str | None = None) -> list[DesiredResource]:
    """The tenant's resources, of one kind or of all, by kind and slug."""
    query = _RESOURCES.where(desired_resource.c.tenant == session.tenant)
    if kind is not None:
        query = query.where(desired_resource.c.kind == kind)
    rows = await session.rows(query.order_by(desired_resource.c.kind, desired_resource.c.slug))
    return [DesiredResource(**row) for row in rows]


async def upsert(
    session: Session, kind: str, slug: str, desired: dict[str, Any], *, deleting: bool, sealed: str | None, at: datetime
) -> None:
    """Sets what the provider shall hold, and starts the attempts anew. `deleting`: it shall be removed. A sealed secret that
    still waits stays unless there is a new one. `at`: when it was asked for."""
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
    """Makes the resources of these slugs wait to be applied again. Returns the slugs of those that exist."""
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


async def list_waiting(session: Session) -> list[ResourceKey]:
    """The resources that wait to be applied, of all tenants that the session sees."""
    rows = await session.rows(
        select(desired_resource.c.tenant, desired_resource.c.kind, desired_resource.c.slug).where(
            desired_resource.c.state == "waiting"
        )
    )
    return [ResourceKey(**row) for row in rows]


async def mark_applied(session: Session, kind: str, slug: str, *, at: datetime, sub: str | None = None) -> None:
    """Stores that the provider holds the resource; its sealed secret is forgotten. `sub`: the subject of the tokens of an
    account or a machine."""
    known = {"sub": sub} if sub else {}
    await _update(session, kind, slug, state="applied", error=None, sealed=None, attempts=0, applied_at=at, **known)


async def mark_failed(session: Session, kind: str, slug: str, *, error: str, final: bool) -> int:
    """Stores a failed attempt. `final`: it is not tried again by itself. Returns the number of attempts, this one included."""
    row = await find(session, kind, slug)
    attempts = (row.attempts if row else 0) + 1
    await _update(
        session, kind, slug, state="failed" if final else "waiting", error=error[:1000], attempts=min(attempts, 1000)
    )
    return attempts


async def delete(session: Session, kind: str, slug: str) -> None:
    """Forgets the resource: the provider no longer holds it."""
    await session.execute(
        desired_resource.delete().where(
            desired_resource.c.tenant == session.tenant,
            desired_resource.c.kind == kind,
            desired_resource.c.slug == slug,
        )
    )


async def record_logout_token(session: Session, jti: str, *, now: datetime, remember: timedelta) -> bool:
    """Whether the logout token of this id is used for the first time. Remembers it for `remember`. The session is the platform
    tenant's."""
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
