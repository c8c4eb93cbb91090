"""Bringing about, at the login provider, what is wanted of it, as often as it takes."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.directory import PLATFORM_TENANT, Login
from joserfc.errors import JoseError
from pydantic import TypeAdapter
from servicekit.errors import Problem, Unavailable
from servicekit.outbound import AddressRefused, OutboundClient, Unreachable
from storage import Session

from identity.actions.account_access import may_use_account
from identity.actions.desired_state import ACCOUNT, ALREADY_DUE, APPLICATION, BROKER, ORGANIZATION, schedule_reconcile
from identity.actions.recording import lock_tenant, record_people_changes
from identity.clients.provider import Provider, ProviderRefused
from identity.model.applications import (
    Account,
    AccountState,
    Application,
    ApplicationSpec,
    IdentityProvider,
    IdentityProviderSpec,
    provider_addresses,
)
from identity.store import desired_resources, directory

log = logging.getLogger("uplift.identity")

_MAX_RETRY_PAUSE = timedelta(minutes=5)
_application: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)
_identity_provider: TypeAdapter[IdentityProvider] = TypeAdapter(IdentityProviderSpec)


async def schedule_waiting(session: Session) -> None:
    """Everything that waits is looked at now: for a process that starts, perhaps with a provider for the first time.
    `session` is the platform tenant's."""
    after = ""
    while slugs := await directory.list_customer_slugs(session, after, 500):
        after = slugs[-1]
        await session.set_tenants([PLATFORM_TENANT, *slugs])
        waiting = await desired_resources.list_waiting(session)
        await session.set_tenants([PLATFORM_TENANT])
        for tenant, kind, slug in waiting:
            await schedule_reconcile(session, tenant, kind, slug, ALREADY_DUE)


Begin = Callable[[], AbstractAsyncContextManager[Session]]
"""Opens a unit of work of the platform tenant."""


@dataclass(frozen=True)
class _ReconcileContext:
    """One thing to bring about, and with what. `work` opens a unit of work of the tenant."""

    work: Begin
    provider: Provider
    issuer: str
    outbound: OutboundClient | None
    tenant: str
    slug: str
    desired: dict[str, Any]
    deleting: bool
    secret: str | None


async def reconcile(
    begin: Begin,
    provider: Provider | None,
    *,
    issuer: str,
    outbound: OutboundClient | None,
    tenant: str,
    kind: str,
    slug: str,
) -> None:
    """Tells the provider, in no transaction: what is wanted is read before, and what became of it recorded after, unless
    something else is wanted by then. What the provider refuses stays to be seen, and is tried again when it is asked for
    again; when it is away, it is tried again with growing pauses. Without a provider it waits for one. `outbound` looks up
    where a tenant's addresses lead before the provider is told of them; None: they may lead anywhere."""
    if provider is None:
        return

    @asynccontextmanager
    async def work() -> AsyncGenerator[Session]:
        async with begin() as session:
            await session.set_tenants([tenant])
            yield session

    async with work() as session:
        asked = await desired_resources.find(session, kind, slug)
    if asked is None:
        return
    try:
        secret = provider.unseal(asked["sealed"]) if asked["sealed"] else None
        step = _ReconcileContext(
            work, provider, issuer, outbound, tenant, slug, asked["wanted"], asked["leaving"], secret
        )
        kept = await _RECONCILERS[kind](step)
        async with work() as session:
            if await _still_asked(session, kind, slug, asked):
                await _record(session, step, kind, kept)
    except (Problem, JoseError) as problem:
        async with work() as session:
            if await _still_asked(session, kind, slug, asked):
                await _record_failure(session, tenant, kind, slug, problem)


async def _still_asked(session: Session, kind: str, slug: str, asked: dict[str, Any]) -> bool:
    """Whether nothing else was asked for meanwhile: what is recorded is of what was asked."""
    now = await desired_resources.find(session, kind, slug, lock=True)
    return now is not None and all(now[name] == asked[name] for name in ("wanted", "leaving", "sealed", "asked_at"))


async def _record(session: Session, step: _ReconcileContext, kind: str, kept: "_Reconciled | None") -> None:
    at = session.now
    if kept is None:
        await desired_resources.delete(session, kind, step.slug)
        return
    if kept.holder is not None and kept.sub is not None:
        await _link(session, step.issuer, kept.holder, kept.sub, moves=kept.moves)
    await desired_resources.mark_applied(session, kind, step.slug, at=at, sub=kept.sub)


async def _record_failure(session: Session, tenant: str, kind: str, slug: str, problem: Problem | JoseError) -> None:
    told = problem.detail if isinstance(problem, Problem) else "Its secret cannot be read any more: ask for a new one."
    final = not isinstance(problem, Unavailable)
    attempts = await desired_resources.mark_failed(session, kind, slug, error=told, final=final)
    log.warning("%s %s of %s was not brought about: %s", kind, slug, tenant, told)
    if not final:
        pause = min(timedelta(seconds=2 ** min(attempts, 10)), _MAX_RETRY_PAUSE)
        await schedule_reconcile(session, tenant, kind, slug, session.now + pause)


@dataclass(frozen=True)
class _Reconciled:
    """It is there; `sub`: by what its tokens know it. `holder`: the person who signs in by it from now on; with `moves`
    whoever else did does not any more."""

    sub: str | None = None
    holder: str | None = None
    moves: bool = False


async def _reconcile_organization(step: _ReconcileContext) -> _Reconciled | None:
    await step.provider.ensure_organization(step.tenant, **step.desired)
    return _Reconciled()


async def _reconcile_application(step: _ReconcileContext) -> _Reconciled | None:
    application = _application.validate_python(step.desired)
    if step.deleting:
        await step.provider.remove_application(step.tenant, step.slug, application)
        return None
    await _require_public(step, application)
    sub = await step.provider.ensure_application(step.tenant, step.slug, application, secret=step.secret)
    if sub is not None and application.protocol == "machine":
        return _Reconciled(sub, application.person, moves=True)
    return _Reconciled(sub)


async def _require_public(step: _ReconcileContext, wanted: Application | IdentityProvider) -> None:
    """The provider looks its addresses up by itself: here is seen to it that they lead outside when it is told. Raises
    Refused, or Unavailable while a name leads to nothing that may be called."""
    if step.outbound is None:
        return
    for name, address in provider_addresses(wanted).items():
        try:
            await step.outbound.require_allowed(address)
        except AddressRefused as refused:
            raise ProviderRefused("address-refused", f"{name}: {refused}.") from refused
        except Unreachable as unreachable:
            raise Unavailable("address-unknown", f"{name}: {unreachable}.", retry_after=60) from unreachable


async def _reconcile_broker(step: _ReconcileContext) -> _Reconciled | None:
    if step.deleting:
        await step.provider.remove_broker(step.tenant)
        return None
    provider = _identity_provider.validate_python(step.desired)
    await _require_public(step, provider)
    await step.provider.ensure_broker(step.tenant, provider, secret=step.secret)
    return _Reconciled()


async def _reconcile_account(step: _ReconcileContext) -> _Reconciled | None:
    async with step.work() as session:
        person = await directory.find_person(session, step.slug)
    state = AccountState.model_validate(step.desired)
    account = Account(
        username=state.username,
        display_name=person.display_name if person else state.username,
        email=state.email or (person.email if person else None),
        linked=state.existing,
    )
    if person is None or not person.active or not state.open:
        await step.provider.close_account(step.tenant, account)
        return _Reconciled() if person else None
    holder = await step.provider.find_account(state.username)
    if holder:
        async with step.work() as session:
            free = await may_use_account(session, person, holder, step.issuer, linked=state.existing)
        if not free:
            raise _username_taken(state.username)
    sub = await step.provider.ensure_account(step.tenant, account, password=step.secret)
    return _Reconciled(sub, step.slug)


def _username_taken(username: str) -> ProviderRefused:
    return ProviderRefused("username-taken", f"The username `{username}` is taken. Choose another.")


async def _link(session: Session, issuer: str, person: str, sub: str, *, moves: bool) -> None:
    """This login is this person's from now on. `moves`: whoever else had it loses it. Raises Refused."""
    login = Login(iss=issuer, sub=sub)
    tenant = await lock_tenant(session)
    session.now = tenant.clock or session.now
    found = await directory.find_person(session, person)
    known = await directory.find_related_people(session, slug="", logins=[(login.iss, login.sub)], external_ids=[])
    if not moves and any(found is None or each.id != found.id for each in known.values()):
        raise ProviderRefused("login-taken", "Somebody else in the directory signs in by this account.")
    changed = [
        each.model_copy(update={"logins": [old for old in each.logins if old != login]})
        for each in known.values()
        if found is None or each.id != found.id
    ]
    if found is not None and login not in found.logins:
        changed.append(found.model_copy(update={"logins": [*found.logins, login]}))
    before = {**known, **({found.id: found} if found else {})}
    await record_people_changes(session, before, changed)


_RECONCILERS: dict[str, Callable[[_ReconcileContext], Awaitable[_Reconciled | None]]] = {
    ORGANIZATION: _reconcile_organization,
    APPLICATION: _reconcile_application,
    BROKER: _reconcile_broker,
    ACCOUNT: _reconcile_account,
}
