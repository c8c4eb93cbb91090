"""What a tenant registers for signing on: applications, its own identity provider, people's accounts."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from contracts.directory import PersonChanged
from pydantic import TypeAdapter
from servicekit.audit import record_change
from servicekit.errors import Conflict, FieldProblem, NotFound, Unavailable
from servicekit.outbound import UrlPolicy
from storage import Session

from identity.actions.account_access import may_use_account
from identity.actions.admins import require_admin_without_account
from identity.actions.desired_state import ACCOUNT, APPLICATION, BROKER, set_desired
from identity.actions.recording import lock_tenant
from identity.clients.provider import ExistingAccount, Provider
from identity.model.applications import (
    AccountSpec,
    AccountState,
    Application,
    ApplicationSpec,
    IdentityProvider,
    Machine,
    OidcApplication,
    OidcProvider,
    SamlApplication,
    provider_addresses,
)
from identity.model.fields import raise_if_problems
from identity.store import desired_resources, directory

OWN_PROVIDER = "own"
_LOOKUP_SECONDS = 2
_stored: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)


@dataclass(frozen=True)
class Registration:
    """What is stored of it, and the secret that was made for it, which is told this once."""

    row: dict[str, Any]
    secret: str | None = None


async def put_application(
    session: Session,
    provider: Provider,
    slug: str,
    application: Application,
    *,
    policy: UrlPolicy,
    new_secret: bool,
) -> Registration:
    """A secret is made for a new one that needs it, and with `new_secret`. Raises Invalid when a machine is nobody or
    an address leads inside, and Conflict for what the provider cannot do."""
    provider.require_supported(application)
    _validate_addresses(application, policy)
    await lock_tenant(session)
    if isinstance(application, Machine):
        await _require_machine(session, application.person)
    before = await desired_resources.find(session, APPLICATION, slug)
    old: Application | None = _stored.validate_python(before["wanted"]) if before else None
    if before and old and (before["leaving"] or _registration(old) != _registration(application)):
        what = "is being taken away" if before["leaving"] else "has another protocol or entity id"
        raise Conflict("application-there", f"The application `{slug}` {what}. Delete it, and put it once it is gone.")
    makes_one = _has_secret(application) and (new_secret or old is None or not _has_secret(old))
    secret = secrets.token_urlsafe(32) if makes_one else None
    return await _set_desired(session, provider, APPLICATION, slug, application.model_dump(mode="json"), secret, before)


async def _require_machine(session: Session, ref: str) -> None:
    """Raises Invalid for nobody, Conflict for a human being: a program never acts in somebody's name."""
    person = await directory.find_person(session, ref)
    if person is None:
        cure = "add it first, with kind machine and the roles it needs"
        raise_if_problems([FieldProblem(pointer="/person", problem=f"there is no person `{ref}`", cure=cure)])
    elif person.kind != "machine":
        raise Conflict("not-a-machine", f"`{ref}` is a person. A machine acts as somebody of kind machine: add one.")


def _validate_addresses(wanted: Application | IdentityProvider, policy: UrlPolicy) -> None:
    found = {name: policy.find_problem(address) for name, address in provider_addresses(wanted).items()}
    raise_if_problems(
        [
            FieldProblem(pointer=f"/{name}", problem=bad[0], cure=bad[1])
            for name, bad in found.items()
            if bad is not None
        ]
    )


def _has_secret(application: Application) -> bool:
    return isinstance(application, Machine) or (isinstance(application, OidcApplication) and not application.public)


def _registration(application: Application) -> tuple[str, str | None]:
    return application.protocol, application.entity_id if isinstance(application, SamlApplication) else None


async def put_identity_provider(
    session: Session, provider: Provider, spec: IdentityProvider, *, policy: UrlPolicy
) -> Registration:
    """Its client secret is handed on, and kept here only until then. Left out, it stays what it was. Raises Conflict
    where the provider cannot do it, Invalid for addresses that lead inside."""
    provider.require_supported(spec)
    _validate_addresses(spec, policy)
    await lock_tenant(session)
    before = await desired_resources.find(session, BROKER, OWN_PROVIDER)
    secret = spec.client_secret if isinstance(spec, OidcProvider) else None
    asked = await _set_desired(session, provider, BROKER, OWN_PROVIDER, spec.model_dump(mode="json"), secret, before)
    return Registration(asked.row)


async def open_account(
    session: Session, provider: Provider, ref: str, spec: AccountSpec, *, new_password: bool, issuer: str
) -> Registration:
    """Asked again it changes what is said differently, and opens a closed one; a password is made for a new one, and
    with `new_password`. Raises NotFound for an unknown person, Conflict for one who is switched off or a machine, and
    where the username or the address is another's."""
    holder = await _find_account_owner(provider, spec.username)
    await lock_tenant(session)
    person = await directory.find_person(session, ref)
    if person is None:
        raise NotFound("unknown-person", f"There is no person `{ref}`.")
    if person.kind == "machine":
        raise Conflict("no-account-for-machines", "A machine signs on as an application with `protocol: machine`.")
    if not person.active:
        raise Conflict("person-off", "This person is switched off. Switch them on first.")
    before = await desired_resources.find(session, ACCOUNT, str(person.id))
    await _require_free(session, person, spec, holder, issuer)
    wanted = AccountState(username=spec.username, email=spec.email, existing=spec.existing).model_dump(mode="json")
    same_user = before is not None and before["wanted"]["username"] == spec.username
    if before is not None and not same_user:
        raise Conflict("account-there", f"This person's account is `{before['wanted']['username']}`, and stays so.")
    if before is not None and before["wanted"]["existing"] != spec.existing:
        raise Conflict("account-there", "Whether this person's account is another tenant's stays as it is.")
    makes_one = not spec.existing and (new_password or not same_user)
    secret = secrets.token_urlsafe(15) if makes_one else None
    return await _set_desired(session, provider, ACCOUNT, str(person.id), wanted, secret, before)


async def _find_account_owner(provider: Provider, username: str) -> ExistingAccount | None:
    """Whose account this is at the provider. One that is away is not waited for: it is asked again before it is told
    anything."""
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            return await provider.find_account(username)
    except (Unavailable, TimeoutError):
        return None


async def _require_free(
    session: Session, person: PersonChanged, spec: AccountSpec, holder: ExistingAccount | None, issuer: str
) -> None:
    """Raises Conflict when the account, or what it goes by, is somebody else's."""
    named = await desired_resources.find_person_by_username(session, spec.username)
    if named not in (None, str(person.id)) or (
        holder is not None and not await may_use_account(session, person, holder, issuer, linked=spec.existing)
    ):
        raise Conflict("username-taken", f"The username `{spec.username}` is taken. Choose another.")
    kept = await desired_resources.load_provider_logins(session, issuer)
    email = spec.email or person.email
    if kept.is_taken(spec.username, person.id) or kept.is_taken(email, person.id):
        raise Conflict("email-taken", "The username or the e-mail address is what somebody else's account goes by.")


async def close_account(session: Session, ref: str, *, by_platform: bool) -> dict[str, Any]:
    """Its login is disabled and its sessions end. Raises NotFound, and Conflict for the last administrator's.
    Whom the platform let in from another tenant (`existing`), it may always let out again."""
    await lock_tenant(session)
    person = await directory.find_person(session, ref)
    row = await desired_resources.find(session, ACCOUNT, str(person.id)) if person else None
    if row is None:
        raise NotFound("unknown-account", f"There is no account of a person `{ref}`.")
    assert person is not None
    if not (by_platform and row["wanted"]["existing"]):
        await require_admin_without_account(session, person)
    wanted = {**row["wanted"], "open": False}
    await set_desired(session, ACCOUNT, row["slug"], wanted)
    record_change(session, ACCOUNT, row["slug"], before=row["wanted"], after=wanted)
    return await _row(session, ACCOUNT, row["slug"])


async def remove(session: Session, kind: str, slug: str) -> None:
    """Raises NotFound."""
    await lock_tenant(session)
    row = await desired_resources.find(session, kind, slug)
    if row is None or row["leaving"]:
        raise NotFound(f"unknown-{kind.replace('_', '-')}", f"There is no {kind.replace('_', ' ')} `{slug}`.")
    await set_desired(session, kind, slug, row["wanted"], deleting=True)
    record_change(session, kind, slug, before=row["wanted"])


async def _set_desired(
    session: Session,
    provider: Provider,
    kind: str,
    slug: str,
    wanted: dict[str, Any],
    secret: str | None,
    before: dict[str, Any] | None,
) -> Registration:
    sealed = provider.seal(secret) if secret is not None else None
    await set_desired(session, kind, slug, wanted, sealed=sealed)
    old = before["wanted"] if before and not before["leaving"] else None
    record_change(session, kind, slug, before=old, after=wanted)
    if secret is not None and old is not None:
        record_change(session, kind, slug, action="secret_renewed")
    return Registration(await _row(session, kind, slug), secret)


async def _row(session: Session, kind: str, slug: str) -> dict[str, Any]:
    row = await desired_resources.find(session, kind, slug)
    assert row is not None
    return row
