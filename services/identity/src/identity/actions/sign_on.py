"""Sign-on of a tenant: its applications, its own identity provider, and the accounts of its people."""

import asyncio
import secrets
from dataclasses import dataclass, replace
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
    list_provider_addresses,
)
from identity.model.fields import raise_if_problems
from identity.store import desired_resources, directory
from identity.store.desired_resources import DesiredResource

OWN_PROVIDER = "own"
_LOOKUP_SECONDS = 2
_stored: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)


@dataclass(frozen=True)
class Registration:
    """The desired resource as stored, and the secret generated for it, which is returned only once."""

    resource: DesiredResource
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
    """Registers or changes an application. A secret is generated when a new one needs it, and with `new_secret`. `policy`: where
    its addresses may lead. Raises Invalid for an unknown person or a refused address; Conflict for what the provider does not
    support, for a person that is not a machine, and while another registration has the slug."""
    provider.require_supported(application)
    _validate_addresses(application, policy)
    await lock_tenant(session)
    if isinstance(application, Machine):
        await _require_machine(session, application.person)
    before = await desired_resources.find(session, APPLICATION, slug)
    old: Application | None = _stored.validate_python(before.desired) if before else None
    if before and old and (before.deleting or _registration(old) != _registration(application)):
        reason = "is being taken away" if before.deleting else "has another protocol or entity id"
        raise Conflict(
            "application-there", f"The application `{slug}` {reason}. Delete it, and put it once it is gone."
        )
    needs_secret = _has_secret(application) and (new_secret or old is None or not _has_secret(old))
    secret = secrets.token_urlsafe(32) if needs_secret else None
    return await _set_desired(session, provider, APPLICATION, slug, application.model_dump(mode="json"), secret, before)


async def _require_machine(session: Session, ref: str) -> None:
    """Raises Invalid for an unknown person, Conflict for one of kind person: a program never acts in a human's name."""
    person = await directory.find_person(session, ref)
    if person is None:
        cure = "add it first, with kind machine and the roles it needs"
        raise_if_problems([FieldProblem(pointer="/person", problem=f"there is no person `{ref}`", cure=cure)])
    elif person.kind != "machine":
        raise Conflict("not-a-machine", f"`{ref}` is a person. A machine acts as somebody of kind machine: add one.")


def _validate_addresses(spec: Application | IdentityProvider, policy: UrlPolicy) -> None:
    found = {name: policy.find_problem(address) for name, address in list_provider_addresses(spec).items()}
    raise_if_problems(
        [
            FieldProblem(pointer=f"/{name}", problem=refused[0], cure=refused[1])
            for name, refused in found.items()
            if refused is not None
        ]
    )


def _has_secret(application: Application) -> bool:
    return isinstance(application, Machine) or (isinstance(application, OidcApplication) and not application.public)


def _registration(application: Application) -> tuple[str, str | None]:
    return application.protocol, application.entity_id if isinstance(application, SamlApplication) else None


async def put_identity_provider(
    session: Session, provider: Provider, spec: IdentityProvider, *, policy: UrlPolicy
) -> Registration:
    """Registers or changes the tenant's own identity provider. Its client secret is stored, encrypted, until the login provider
    has it; without one the provider keeps the old. Raises Conflict where the login provider does not support it, Invalid for
    refused addresses."""
    provider.require_supported(spec)
    _validate_addresses(spec, policy)
    await lock_tenant(session)
    before = await desired_resources.find(session, BROKER, OWN_PROVIDER)
    secret = spec.client_secret if isinstance(spec, OidcProvider) else None
    stored = await _set_desired(session, provider, BROKER, OWN_PROVIDER, spec.model_dump(mode="json"), secret, before)
    return replace(stored, secret=None)  # it came from the caller


async def open_account(
    session: Session, provider: Provider, ref: str, spec: AccountSpec, *, new_password: bool, issuer: str
) -> Registration:
    """Opens the account of the person with this id or slug, or changes and reopens it. A temporary password is generated for a new
    account, and with `new_password`. Raises NotFound for an unknown person; Conflict for one who is switched off or a machine,
    when the username or the address belongs to somebody else, and when the username or `existing` would change."""
    existing = await _find_existing_account(provider, spec.username)
    await lock_tenant(session)
    person = await directory.find_person(session, ref)
    if person is None:
        raise NotFound("unknown-person", f"There is no person `{ref}`.")
    if person.kind == "machine":
        raise Conflict("no-account-for-machines", "A machine signs on as an application with `protocol: machine`.")
    if not person.active:
        raise Conflict("person-off", "This person is switched off. Switch them on first.")
    before = await desired_resources.find(session, ACCOUNT, str(person.id))
    await _require_free(session, person, spec, existing, issuer)
    desired = AccountState(username=spec.username, email=spec.email, existing=spec.existing).model_dump(mode="json")
    same_user = before is not None and before.desired["username"] == spec.username
    if before is not None and not same_user:
        raise Conflict("account-there", f"This person's account is `{before.desired['username']}`, and stays so.")
    if before is not None and before.desired["existing"] != spec.existing:
        raise Conflict("account-there", "Whether this person's account is another tenant's stays as it is.")
    needs_password = not spec.existing and (new_password or not same_user)
    secret = secrets.token_urlsafe(15) if needs_password else None
    return await _set_desired(session, provider, ACCOUNT, str(person.id), desired, secret, before)


async def _find_existing_account(provider: Provider, username: str) -> ExistingAccount | None:
    """The account of this username at the provider; None also when the provider does not answer within two seconds: the
    reconciliation asks it again before it changes anything."""
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            return await provider.find_account(username)
    except (Unavailable, TimeoutError):
        return None


async def _require_free(
    session: Session, person: PersonChanged, spec: AccountSpec, existing: ExistingAccount | None, issuer: str
) -> None:
    """Raises Conflict when the account, its username or its address belongs to somebody else."""
    owner = await desired_resources.find_person_by_username(session, spec.username)
    if owner not in (None, str(person.id)) or (
        existing is not None and not await may_use_account(session, person, existing, issuer, linked=spec.existing)
    ):
        raise Conflict("username-taken", f"The username `{spec.username}` is taken. Choose another.")
    logins = await desired_resources.load_provider_logins(session, issuer)
    email = spec.email or person.email
    if logins.is_taken(spec.username, person.id) or logins.is_taken(email, person.id):
        raise Conflict("email-taken", "The username or the e-mail address is what somebody else's account goes by.")


async def close_account(session: Session, ref: str, *, by_platform: bool) -> DesiredResource:
    """Disables the account of the person with this id or slug and ends its sessions. Raises NotFound, and Conflict for the last
    administrator's; the platform (`by_platform`) may close an account of another tenant (`existing`) all the same."""
    await lock_tenant(session)
    person = await directory.find_person(session, ref)
    account = await desired_resources.find(session, ACCOUNT, str(person.id)) if person else None
    if account is None:
        raise NotFound("unknown-account", f"There is no account of a person `{ref}`.")
    assert person is not None
    if not (by_platform and account.desired["existing"]):
        await require_admin_without_account(session, person)
    desired = {**account.desired, "open": False}
    await set_desired(session, ACCOUNT, account.slug, desired)
    record_change(session, ACCOUNT, account.slug, before=account.desired, after=desired)
    return await _load(session, ACCOUNT, account.slug)


async def remove(session: Session, kind: str, slug: str) -> None:
    """Asks the login provider to remove the resource. Raises NotFound, also while it is being removed."""
    await lock_tenant(session)
    resource = await desired_resources.find(session, kind, slug)
    if resource is None or resource.deleting:
        raise NotFound(f"unknown-{kind.replace('_', '-')}", f"There is no {kind.replace('_', ' ')} `{slug}`.")
    await set_desired(session, kind, slug, resource.desired, deleting=True)
    record_change(session, kind, slug, before=resource.desired)


async def _set_desired(
    session: Session,
    provider: Provider,
    kind: str,
    slug: str,
    desired: dict[str, Any],
    secret: str | None,
    before: DesiredResource | None,
) -> Registration:
    sealed = provider.seal(secret) if secret is not None else None
    await set_desired(session, kind, slug, desired, sealed=sealed)
    old = before.desired if before and not before.deleting else None
    record_change(session, kind, slug, before=old, after=desired)
    if secret is not None and old is not None:
        record_change(session, kind, slug, action="secret_renewed")
    return Registration(await _load(session, kind, slug), secret)


async def _load(session: Session, kind: str, slug: str) -> DesiredResource:
    resource = await desired_resources.find(session, kind, slug)
    assert resource is not None
    return resource
