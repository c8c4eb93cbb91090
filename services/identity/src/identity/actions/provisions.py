"""Bringing about, at the login provider, what is wanted of it, as often as it takes."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.directory import PLATFORM_TENANT, Login
from joserfc.errors import JoseError
from pydantic import TypeAdapter
from servicekit.errors import Problem, Unavailable
from servicekit.outbound import AddressRefused, Outbound, Unreachable
from storage import Session

from identity.actions.holding import may_hold
from identity.actions.keeping import keep_people, locked_tenant
from identity.actions.wanting import ACCOUNT, APPLICATION, AT_ONCE, BROKER, ORGANIZATION, schedule
from identity.clients.provider import Provider, Refused
from identity.model.applications import (
    Account,
    AccountState,
    Application,
    ApplicationSpec,
    IdentityProvider,
    IdentityProviderSpec,
    called,
)
from identity.store import directory, provisions

log = logging.getLogger("uplift.identity")

_LONGEST_PAUSE = timedelta(minutes=5)
_application: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)
_identity_provider: TypeAdapter[IdentityProvider] = TypeAdapter(IdentityProviderSpec)


async def resume(session: Session) -> None:
    """Everything that waits is looked at now: for a process that starts, perhaps with a provider for the first time.
    `session` is the platform tenant's."""
    after = ""
    while slugs := await directory.customer_slugs(session, after, 500):
        after = slugs[-1]
        await session.narrow([PLATFORM_TENANT, *slugs])
        waiting = await provisions.unfinished(session)
        await session.narrow([PLATFORM_TENANT])
        for tenant, kind, slug in waiting:
            await schedule(session, tenant, kind, slug, AT_ONCE)


@dataclass(frozen=True)
class _Step:
    """One thing to bring about, and with what."""

    session: Session
    provider: Provider
    issuer: str
    outbound: Outbound | None
    tenant: str
    slug: str
    wanted: dict[str, Any]
    leaving: bool
    secret: str | None


async def bring_about(
    session: Session,
    provider: Provider | None,
    *,
    issuer: str,
    outbound: Outbound | None,
    tenant: str,
    kind: str,
    slug: str,
) -> None:
    """Tells the provider. What it refuses stays to be seen, and is tried again when it is asked for again; when it is
    away, it is tried again with growing pauses. Without a provider it waits for one. `outbound` looks up where a tenant's
    addresses lead before the provider is told of them; None: they may lead anywhere."""
    now = session.now
    if provider is None:
        return
    await session.narrow([tenant])
    row = await provisions.find(session, kind, slug, lock=True)
    if row is None:
        return
    try:
        secret = provider.unseal(row["sealed"]) if row["sealed"] else None
        kept = await _STEPS[kind](
            _Step(session, provider, issuer, outbound, tenant, slug, row["wanted"], row["leaving"], secret)
        )
    except (Problem, JoseError) as problem:
        told = (
            problem.detail if isinstance(problem, Problem) else "Its secret cannot be read any more: ask for a new one."
        )
        final = not isinstance(problem, Unavailable)
        attempts = await provisions.not_applied(session, kind, slug, error=told, final=final)
        log.warning("%s %s of %s was not brought about: %s", kind, slug, tenant, told)
        if not final:
            pause = min(timedelta(seconds=2 ** min(attempts, 10)), _LONGEST_PAUSE)
            await schedule(session, tenant, kind, slug, now + pause)
        return
    if kept is not None:
        await provisions.applied(session, kind, slug, at=now, sub=kept.sub)
    else:
        await provisions.gone(session, kind, slug)


@dataclass(frozen=True)
class _Kept:
    """It is there; `sub`: by what its tokens know it."""

    sub: str | None = None


async def _organization(step: _Step) -> _Kept | None:
    await step.provider.keep_organization(step.tenant, **step.wanted)
    return _Kept()


async def _apply_application(step: _Step) -> _Kept | None:
    application = _application.validate_python(step.wanted)
    if step.leaving:
        await step.provider.remove_application(step.tenant, step.slug, application)
        return None
    await _require_public(step, application)
    sub = await step.provider.keep_application(step.tenant, step.slug, application, secret=step.secret)
    if sub is not None and application.protocol == "machine":
        await _link(step, application.person, sub, moves=True)
    return _Kept(sub)


async def _require_public(step: _Step, wanted: Application | IdentityProvider) -> None:
    """The provider looks its addresses up by itself: here is seen to it that they lead outside when it is told. Raises
    Refused, or Unavailable while a name leads to nothing that may be called."""
    if step.outbound is None:
        return
    for name, address in called(wanted).items():
        try:
            await step.outbound.require(address)
        except AddressRefused as refused:
            raise Refused("address-refused", f"{name}: {refused}.") from refused
        except Unreachable as unreachable:
            raise Unavailable("address-unknown", f"{name}: {unreachable}.", retry_after=60) from unreachable


async def _broker(step: _Step) -> _Kept | None:
    if step.leaving:
        await step.provider.remove_broker(step.tenant)
        return None
    provider = _identity_provider.validate_python(step.wanted)
    await _require_public(step, provider)
    await step.provider.keep_broker(step.tenant, provider, secret=step.secret)
    return _Kept()


async def _account(step: _Step) -> _Kept | None:
    person = await directory.find_person(step.session, step.slug)
    state = AccountState.model_validate(step.wanted)
    account = Account(
        username=state.username,
        display_name=person.display_name if person else state.username,
        email=state.email or (person.email if person else None),
        linked=state.existing,
    )
    if person is None or not person.active or not state.open:
        await step.provider.close_account(step.tenant, account)
        return _Kept() if person else None
    holder = await step.provider.find_account(state.username)
    if holder and not await may_hold(step.session, person, holder, step.issuer, linked=state.existing):
        raise _taken(state.username)
    sub = await step.provider.keep_account(step.tenant, account, password=step.secret)
    await _link(step, step.slug, sub)
    return _Kept(sub)


def _taken(username: str) -> Refused:
    return Refused("username-taken", f"The username `{username}` is taken. Choose another.")


async def _link(step: _Step, person: str, sub: str, *, moves: bool = False) -> None:
    """This login is this person's from now on. `moves`: whoever else had it loses it. Raises Refused."""
    session, login = step.session, Login(iss=step.issuer, sub=sub)
    tenant = await locked_tenant(session)
    session.now = tenant.clock or session.now
    found = await directory.find_person(session, person)
    known = await directory.people_related(session, slug="", logins=[(login.iss, login.sub)], external_ids=[])
    if not moves and any(found is None or each.id != found.id for each in known.values()):
        raise Refused("login-taken", "Somebody else in the directory signs in by this account.")
    changed = [
        each.model_copy(update={"logins": [old for old in each.logins if old != login]})
        for each in known.values()
        if found is None or each.id != found.id
    ]
    if found is not None and login not in found.logins:
        changed.append(found.model_copy(update={"logins": [*found.logins, login]}))
    before = {**known, **({found.id: found} if found else {})}
    await keep_people(session, before, changed)


_STEPS: dict[str, Callable[[_Step], Awaitable[_Kept | None]]] = {
    ORGANIZATION: _organization,
    APPLICATION: _apply_application,
    BROKER: _broker,
    ACCOUNT: _account,
}
