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
from storage import Session

from identity.actions.keeping import keep_people, locked_tenant
from identity.actions.wanting import ACCOUNT, APPLICATION, AT_ONCE, BROKER, ORGANIZATION, schedule
from identity.clients.provider import Provider
from identity.model.applications import (
    Account,
    AccountState,
    Application,
    ApplicationSpec,
    IdentityProvider,
    IdentityProviderSpec,
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
    tenant: str
    slug: str
    wanted: dict[str, Any]
    leaving: bool
    secret: str | None


async def bring_about(
    session: Session, provider: Provider | None, *, issuer: str, tenant: str, kind: str, slug: str
) -> None:
    """Tells the provider. What it refuses stays to be seen, and is tried again when it is asked for again; when it is
    away, it is tried again with growing pauses. Without a provider it waits for one."""
    now = session.now
    if provider is None:
        return
    await session.narrow([tenant])
    row = await provisions.find(session, kind, slug, lock=True)
    if row is None:
        return
    try:
        secret = provider.unseal(row["sealed"]) if row["sealed"] else None
        stays = await _STEPS[kind](
            _Step(session, provider, issuer, tenant, slug, row["wanted"], row["leaving"], secret)
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
    if stays:
        await provisions.applied(session, kind, slug, at=now)
    else:
        await provisions.gone(session, kind, slug)


async def _organization(step: _Step) -> bool:
    await step.provider.keep_organization(step.tenant, **step.wanted)
    return True


async def _apply_application(step: _Step) -> bool:
    application = _application.validate_python(step.wanted)
    if step.leaving:
        await step.provider.remove_application(step.tenant, step.slug, application)
        return False
    sub = await step.provider.keep_application(step.tenant, step.slug, application, secret=step.secret)
    if sub is not None and application.protocol == "machine":
        await _link(step, application.person, sub)
    return True


async def _broker(step: _Step) -> bool:
    if step.leaving:
        await step.provider.remove_broker(step.tenant)
        return False
    provider = _identity_provider.validate_python(step.wanted)
    await step.provider.keep_broker(step.tenant, provider, secret=step.secret)
    return True


async def _account(step: _Step) -> bool:
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
        return person is not None
    sub = await step.provider.keep_account(step.tenant, account, password=step.secret)
    await _link(step, step.slug, sub)
    return True


async def _link(step: _Step, person: str, sub: str) -> None:
    """This login is this person's from now on, and nobody else's."""
    session, login = step.session, Login(iss=step.issuer, sub=sub)
    tenant = await locked_tenant(session)
    session.now = tenant.clock or session.now
    found = await directory.find_person(session, person)
    known = await directory.people_related(session, slug="", logins=[(login.iss, login.sub)], external_ids=[])
    changed = [
        each.model_copy(update={"logins": [old for old in each.logins if old != login]})
        for each in known.values()
        if found is None or each.id != found.id
    ]
    if found is not None and login not in found.logins:
        changed.append(found.model_copy(update={"logins": [*found.logins, login]}))
    before = {**known, **({found.id: found} if found else {})}
    await keep_people(session, before, changed, by="system", action="person.login_linked")


_STEPS: dict[str, Callable[[_Step], Awaitable[bool]]] = {
    ORGANIZATION: _organization,
    APPLICATION: _apply_application,
    BROKER: _broker,
    ACCOUNT: _account,
}
