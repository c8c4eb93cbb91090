"""Reconciliation: applying desired resources at the login provider, with retries."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contracts.directory import Login
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
    list_provider_addresses,
)
from identity.store import desired_resources, directory
from identity.store.desired_resources import DesiredResource

log = logging.getLogger("uplift.identity")

_MAX_RETRY_PAUSE = timedelta(minutes=5)
_application: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)
_identity_provider: TypeAdapter[IdentityProvider] = TypeAdapter(IdentityProviderSpec)


async def schedule_waiting(session: Session) -> None:
    """Schedules every waiting resource of the session's tenants."""
    for tenant, kind, slug in await desired_resources.list_waiting(session):
        await schedule_reconcile(session, tenant, kind, slug, ALREADY_DUE)


Begin = Callable[[], AbstractAsyncContextManager[Session]]
"""Opens a session of the resource's tenant, at that tenant's time."""


@dataclass(frozen=True)
class _ReconcileContext:
    """One reconciliation. `begin` opens a session of the tenant; `now` is the
    time by the wall clock; `issuer` is the `iss` of the provider's logins; `secret` is
    in clear text."""

    begin: Begin
    now: datetime
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
    now: datetime,
    issuer: str,
    outbound: OutboundClient | None,
    tenant: str,
    kind: str,
    slug: str,
) -> None:
    """Applies one resource at the provider, outside a transaction: the desired state is read before, and the outcome stored
    afterwards, unless the desired state has changed meanwhile. What the provider refuses is stored as failed, until it is set
    again; while the provider is unavailable, attempts follow with growing pauses. Without a provider nothing happens.
    `outbound` checks where a tenant's addresses lead before the provider gets them; None: they may lead anywhere."""
    if provider is None:
        return
    async with begin() as session:
        resource = await desired_resources.find(session, kind, slug)
    if resource is None:
        return
    try:
        secret = provider.unseal(resource.sealed) if resource.sealed else None
        context = _ReconcileContext(
            begin, now, provider, issuer, outbound, tenant, slug, resource.desired, resource.deleting, secret
        )
        outcome = await _RECONCILERS[kind](context)
        async with begin() as session:
            if await _is_current(session, resource):
                await _record(session, context, kind, outcome)
    except (Problem, JoseError) as problem:
        async with begin() as session:
            if await _is_current(session, resource):
                await _record_failure(session, tenant, kind, slug, problem, now)


async def _is_current(session: Session, resource: DesiredResource) -> bool:
    """Whether the desired state has not changed since it was read. Locks the row."""
    now = await desired_resources.find(session, resource.kind, resource.slug, lock=True)
    return now is not None and _request(now) == _request(resource)


def _request(resource: DesiredResource) -> tuple[object, ...]:
    return resource.desired, resource.deleting, resource.sealed, resource.requested_at


async def _record(session: Session, context: _ReconcileContext, kind: str, outcome: "_Reconciled | None") -> None:
    if outcome is None:
        await desired_resources.delete(session, kind, context.slug)
        return
    if outcome.person is not None and outcome.sub is not None:
        await _link(session, context.issuer, outcome.person, outcome.sub, exclusive=outcome.exclusive)
    await desired_resources.mark_applied(session, kind, context.slug, at=context.now, sub=outcome.sub)


async def _record_failure(
    session: Session, tenant: str, kind: str, slug: str, problem: Problem | JoseError, now: datetime
) -> None:
    error = problem.detail if isinstance(problem, Problem) else "Its secret cannot be read any more: ask for a new one."
    final = not isinstance(problem, Unavailable)
    attempts = await desired_resources.mark_failed(session, kind, slug, error=error, final=final)
    log.warning("%s %s of %s was not applied at the login provider: %s", kind, slug, tenant, error)
    if not final:
        pause = min(timedelta(seconds=2 ** min(attempts, 10)), _MAX_RETRY_PAUSE)
        await schedule_reconcile(session, tenant, kind, slug, now + pause)


@dataclass(frozen=True)
class _Reconciled:
    """The provider holds the resource. `sub`: the subject of its tokens; `person`: the id or slug of the person who signs in by it
    from now on; `exclusive`: the login is taken from whoever else has it."""

    sub: str | None = None
    person: str | None = None
    exclusive: bool = False


async def _reconcile_organization(context: _ReconcileContext) -> _Reconciled | None:
    await context.provider.ensure_organization(context.tenant, **context.desired)
    return _Reconciled()


async def _reconcile_application(context: _ReconcileContext) -> _Reconciled | None:
    application = _application.validate_python(context.desired)
    if context.deleting:
        await context.provider.remove_application(context.tenant, context.slug, application)
        return None
    await _require_public(context, application)
    sub = await context.provider.ensure_application(context.tenant, context.slug, application, secret=context.secret)
    if sub is not None and application.protocol == "machine":
        return _Reconciled(sub, application.person, exclusive=True)
    return _Reconciled(sub)


async def _require_public(context: _ReconcileContext, spec: Application | IdentityProvider) -> None:
    """Checks that the addresses lead outside at the moment when the provider, which resolves them itself, gets them. Raises
    ProviderRefused, or Unavailable while a name does not resolve."""
    if context.outbound is None:
        return
    for name, address in list_provider_addresses(spec).items():
        try:
            await context.outbound.require_allowed(address)
        except AddressRefused as refused:
            raise ProviderRefused("address-refused", f"{name}: {refused}.") from refused
        except Unreachable as unreachable:
            raise Unavailable("address-unknown", f"{name}: {unreachable}.", retry_after=60) from unreachable


async def _reconcile_broker(context: _ReconcileContext) -> _Reconciled | None:
    if context.deleting:
        await context.provider.remove_broker(context.tenant)
        return None
    provider = _identity_provider.validate_python(context.desired)
    await _require_public(context, provider)
    await context.provider.ensure_broker(context.tenant, provider, secret=context.secret)
    return _Reconciled()


async def _reconcile_account(context: _ReconcileContext) -> _Reconciled | None:
    async with context.begin() as session:
        person = await directory.find_person(session, context.slug)
    state = AccountState.model_validate(context.desired)
    account = Account(
        username=state.username,
        display_name=person.display_name if person else state.username,
        email=state.email or (person.email if person else None),
        linked=state.existing,
    )
    if person is None or not person.active or not state.open:
        await context.provider.close_account(context.tenant, account)
        return _Reconciled() if person else None
    existing = await context.provider.find_account(state.username)
    if existing:
        async with context.begin() as session:
            free = await may_use_account(session, person, existing, context.issuer, linked=state.existing)
        if not free:
            raise _username_taken(state.username)
    sub = await context.provider.ensure_account(context.tenant, account, password=context.secret)
    return _Reconciled(sub, context.slug)


def _username_taken(username: str) -> ProviderRefused:
    return ProviderRefused("username-taken", f"The username `{username}` is taken. Choose another.")


async def _link(session: Session, issuer: str, person: str, sub: str, *, exclusive: bool) -> None:
    """Gives the login to the person, by id or slug. `exclusive`: it is taken from everybody else; otherwise raises
    ProviderRefused when somebody else has it."""
    login = Login(iss=issuer, sub=sub)
    await lock_tenant(session)
    found = await directory.find_person(session, person)
    known = await directory.find_related_people(session, slug="", logins=[(login.iss, login.sub)], external_ids=[])
    if not exclusive and any(found is None or each.id != found.id for each in known.values()):
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
