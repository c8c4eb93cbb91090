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


Begin = Callable[[], AbstractAsyncContextManager[Session]]
"""Opens a unit of work of the platform tenant."""


@dataclass(frozen=True)
class _Step:
    """One thing to bring about, and with what. `work` opens a unit of work of the tenant."""

    work: Begin
    provider: Provider
    issuer: str
    outbound: Outbound | None
    tenant: str
    slug: str
    wanted: dict[str, Any]
    leaving: bool
    secret: str | None


async def bring_about(
    begin: Begin,
    provider: Provider | None,
    *,
    issuer: str,
    outbound: Outbound | None,
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
            await session.narrow([tenant])
            yield session

    async with work() as session:
        asked = await provisions.find(session, kind, slug)
    if asked is None:
        return
    try:
        secret = provider.unseal(asked["sealed"]) if asked["sealed"] else None
        step = _Step(work, provider, issuer, outbound, tenant, slug, asked["wanted"], asked["leaving"], secret)
        kept = await _STEPS[kind](step)
        async with work() as session:
            if await _still_asked(session, kind, slug, asked):
                await _record(session, step, kind, kept)
    except (Problem, JoseError) as problem:
        async with work() as session:
            if await _still_asked(session, kind, slug, asked):
                await _record_failure(session, tenant, kind, slug, problem)


async def _still_asked(session: Session, kind: str, slug: str, asked: dict[str, Any]) -> bool:
    """Whether nothing else was asked for meanwhile: what is recorded is of what was asked."""
    now = await provisions.find(session, kind, slug, lock=True)
    return now is not None and all(now[name] == asked[name] for name in ("wanted", "leaving", "sealed", "asked_at"))


async def _record(session: Session, step: _Step, kind: str, kept: "_Kept | None") -> None:
    at = session.now
    if kept is None:
        await provisions.gone(session, kind, step.slug)
        return
    if kept.holder is not None and kept.sub is not None:
        await _link(session, step.issuer, kept.holder, kept.sub, moves=kept.moves)
    await provisions.applied(session, kind, step.slug, at=at, sub=kept.sub)


async def _record_failure(session: Session, tenant: str, kind: str, slug: str, problem: Problem | JoseError) -> None:
    told = problem.detail if isinstance(problem, Problem) else "Its secret cannot be read any more: ask for a new one."
    final = not isinstance(problem, Unavailable)
    attempts = await provisions.not_applied(session, kind, slug, error=told, final=final)
    log.warning("%s %s of %s was not brought about: %s", kind, slug, tenant, told)
    if not final:
        pause = min(timedelta(seconds=2 ** min(attempts, 10)), _LONGEST_PAUSE)
        await schedule(session, tenant, kind, slug, session.now + pause)


@dataclass(frozen=True)
class _Kept:
    """It is there; `sub`: by what its tokens know it. `holder`: the person who signs in by it from now on; with `moves`
    whoever else did does not any more."""

    sub: str | None = None
    holder: str | None = None
    moves: bool = False


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
        return _Kept(sub, application.person, moves=True)
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
    async with step.work() as session:
        person = await directory.find_person(session, step.slug)
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
    if holder:
        async with step.work() as session:
            free = await may_hold(session, person, holder, step.issuer, linked=state.existing)
        if not free:
            raise _taken(state.username)
    sub = await step.provider.keep_account(step.tenant, account, password=step.secret)
    return _Kept(sub, step.slug)


def _taken(username: str) -> Refused:
    return Refused("username-taken", f"The username `{username}` is taken. Choose another.")


async def _link(session: Session, issuer: str, person: str, sub: str, *, moves: bool) -> None:
    """This login is this person's from now on. `moves`: whoever else had it loses it. Raises Refused."""
    login = Login(iss=issuer, sub=sub)
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
