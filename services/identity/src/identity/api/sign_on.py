"""Single sign-on: applications and machines, the tenant's own identity provider, people's accounts."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, TypeAdapter
from servicekit import CallerDep, Page, PageDep, WorkSession, get_context, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound

from identity.actions import sign_on as actions
from identity.actions.desired_state import ACCOUNT, APPLICATION, BROKER
from identity.api.access import (
    ADMINS,
    TenantPath,
    TenantQuery,
    enter_tenant,
    get_issuer,
    get_state,
    is_platform_admin,
    require_platform_admin,
    require_provider,
)
from identity.clients.keycloak import broker_alias
from identity.model.applications import (
    AccountSpec,
    AccountState,
    Application,
    ApplicationSpec,
    IdentityProvider,
    IdentityProviderSpec,
    SamlApplication,
    application_id,
)
from identity.model.fields import SLUG
from identity.store import desired_resources, directory
from identity.store.desired_resources import DesiredResource

router = door_router(tags=["sign-on"])

_stored: TypeAdapter[Application] = TypeAdapter(ApplicationSpec)
_stored_provider: TypeAdapter[IdentityProvider] = TypeAdapter(IdentityProviderSpec)
ApplicationPath = Annotated[str, Path(pattern=SLUG)]


class Progress(BaseModel):
    """How far the login provider is: `waiting` (with the `error` of the last attempt, if there was one), `applied`, or
    `failed`: it refuses it, and is not asked again before it is put again. `leaving`: it is being taken away."""

    state: Literal["waiting", "applied", "failed"]
    error: str | None
    asked_at: datetime
    applied_at: datetime | None
    leaving: bool = False


PROGRESS = tuple(Progress.model_fields)


class ApplicationView(Progress):
    """`client_id` is what the application is known by at the issuer, a SAML service provider its entity id.
    `client_secret` is told once, when it is made. `addresses` are those the application is configured with."""

    slug: str
    application: ApplicationSpec
    client_id: str
    client_secret: str | None = None
    addresses: dict[str, str]


class IdentityProviderView(Progress):
    """`redirect_uri` is to be registered at the tenant's provider; with `login_hint` in an authorization request the
    browser goes straight there."""

    identity_provider: IdentityProviderSpec
    redirect_uri: str
    login_hint: str


class AccountView(Progress):
    """`temporary_password` is told once, when it is made, and must be changed at the first login."""

    person_id: UUID
    username: str
    email: str | None
    existing: bool
    open: bool
    temporary_password: str | None = None


class SignOnState(Progress):
    """A resource of the tenant at the login provider, with its progress."""

    kind: Literal["organization", "application", "account", "identity_provider"]
    slug: str


@router.get("/tenants/{tenant}/sign-on")
@route_policy(roles=ADMINS)
async def list_sign_on(session: WorkSession, caller: CallerDep, page: PageDep, tenant: TenantPath) -> Page[SignOnState]:
    """Everything the login provider shall hold of the tenant, and how far it is. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    resources = await desired_resources.list_all(session)
    states = [SignOnState(kind=each.kind, slug=each.slug, **_progress(each)) for each in resources]
    return page_within(states, page, lambda each: f"{each.kind}/{each.slug}")


@router.get("/tenants/{tenant}/applications")
@route_policy(roles=ADMINS)
async def list_applications(
    session: WorkSession, caller: CallerDep, request: Request, page: PageDep, tenant: TenantPath
) -> Page[ApplicationView]:
    """By slug. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    resources = await desired_resources.list_all(session, APPLICATION)
    return page_within([_application(request, tenant, each) for each in resources], page, lambda each: each.slug)


@router.put("/tenants/{tenant}/applications/{application}")
@route_policy(roles=ADMINS, idempotency_key=False)
async def put_application(
    session: WorkSession,
    caller: CallerDep,
    request: Request,
    tenant: TenantPath,
    application: ApplicationPath,
    spec: ApplicationSpec,
    new_secret: Annotated[bool, Query(description="Make a new secret; the old one is good no more.")] = False,
) -> ApplicationView:
    """Registers a subsystem as a client for single sign-on (`oidc`, `saml`), or a program that calls the API
    (`machine`). Only people of this tenant get into its applications. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    provider = require_provider(request)
    registered = await actions.put_application(
        session, provider, application, spec, policy=get_state(request).policy, new_secret=new_secret
    )
    return _application(request, tenant, registered.resource, registered.secret)


@router.get("/tenants/{tenant}/applications/{application}")
@route_policy(roles=ADMINS, volatile_fields=PROGRESS)
async def get_application(
    session: WorkSession, caller: CallerDep, request: Request, tenant: TenantPath, application: ApplicationPath
) -> ApplicationView:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    resource = await desired_resources.find(session, APPLICATION, application)
    if resource is None:
        raise NotFound("unknown-application", f"There is no application `{application}`.")
    return _application(request, tenant, resource)


@router.delete("/tenants/{tenant}/applications/{application}", status_code=202)
@route_policy(roles=ADMINS)
async def remove_application(
    session: WorkSession, caller: CallerDep, tenant: TenantPath, application: ApplicationPath
) -> Response:
    """It is `leaving` until the login provider has forgotten it. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    await actions.remove(session, APPLICATION, application)
    return Response(status_code=202)


@router.put("/tenants/{tenant}/identity-provider")
@route_policy(roles=ADMINS, idempotency_key=False)
async def put_identity_provider(
    session: WorkSession, caller: CallerDep, request: Request, tenant: TenantPath, spec: IdentityProviderSpec
) -> IdentityProviderView:
    """The tenant's people sign in at its own provider from now on. Only people with an account of this tenant, and of no
    other, get in; the first login links the two. The client secret is handed on and never shown; left out, it stays. Needs
    tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    registered = await actions.put_identity_provider(
        session, require_provider(request), spec, policy=get_state(request).policy
    )
    return _identity_provider(request, tenant, registered.resource)


@router.get("/tenants/{tenant}/identity-provider")
@route_policy(roles=ADMINS, volatile_fields=PROGRESS)
async def get_identity_provider(
    session: WorkSession, caller: CallerDep, request: Request, tenant: TenantPath
) -> IdentityProviderView:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    resource = await desired_resources.find(session, BROKER, actions.OWN_PROVIDER)
    if resource is None:
        raise NotFound("unknown-identity-provider", f"`{tenant}` has no identity provider of its own.")
    return _identity_provider(request, tenant, resource)


@router.delete("/tenants/{tenant}/identity-provider", status_code=202)
@route_policy(roles=ADMINS)
async def remove_identity_provider(session: WorkSession, caller: CallerDep, tenant: TenantPath) -> Response:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    await actions.remove(session, BROKER, actions.OWN_PROVIDER)
    return Response(status_code=202)


@router.post("/people/{person}/account", status_code=201)
@route_policy(roles=ADMINS, idempotency_key=False)
async def open_account(
    session: WorkSession,
    caller: CallerDep,
    request: Request,
    person: str,
    spec: AccountSpec,
    new_password: Annotated[bool, Query(description="Make a new temporary password.")] = False,
    tenant: TenantQuery = None,
) -> AccountView:
    """Makes the person's login account, or opens it again. Switching the person off or renaming them goes there by
    itself. Needs tenant_admin; `existing` needs platform_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    if spec.existing:
        require_platform_admin(caller)
    if await directory.find_person(session, person) is None:
        raise NotFound("unknown-person", f"There is no person `{person}`.")
    registered = await actions.open_account(
        session,
        require_provider(request),
        person,
        spec,
        new_password=new_password,
        issuer=get_issuer(request),
    )
    return _account(registered.resource, registered.secret)


@router.get("/people/{person}/account")
@route_policy(roles=ADMINS, volatile_fields=PROGRESS)
async def get_account(session: WorkSession, caller: CallerDep, person: str, tenant: TenantQuery = None) -> AccountView:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    found = await directory.find_person(session, person)
    account = await desired_resources.find(session, ACCOUNT, str(found.id)) if found else None
    if account is None:
        raise NotFound("unknown-account", f"There is no account of a person `{person}`.")
    return _account(account)


@router.delete("/people/{person}/account")
@route_policy(roles=ADMINS)
async def close_account(
    session: WorkSession, caller: CallerDep, person: str, tenant: TenantQuery = None
) -> AccountView:
    """Disables the account and ends its sessions. The person stays in the directory. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    return _account(await actions.close_account(session, person, by_platform=is_platform_admin(caller)))


def _progress(resource: DesiredResource) -> dict[str, Any]:
    """The fields of `Progress`."""
    return {
        "state": resource.state,
        "error": resource.error,
        "asked_at": resource.requested_at,
        "applied_at": resource.applied_at,
        "leaving": resource.deleting,
    }


def _application(
    request: Request, tenant: str, resource: DesiredResource, secret: str | None = None
) -> ApplicationView:
    issuer, slug = get_context(request).settings.issuer.rstrip("/"), resource.slug
    spec: Application = _stored.validate_python(resource.desired)
    if isinstance(spec, SamlApplication):
        addresses = {
            "metadata": f"{issuer}/protocol/saml/descriptor",
            "single_sign_on": f"{issuer}/protocol/saml",
            "start": f"{issuer}/protocol/saml/clients/{tenant}.{slug}",
        }
    else:
        addresses = {"issuer": issuer, "discovery": f"{issuer}/.well-known/openid-configuration"}
    client_id = application_id(tenant, slug, spec)
    return ApplicationView(
        slug=slug,
        application=spec,
        client_id=client_id,
        client_secret=secret,
        addresses=addresses,
        **_progress(resource),
    )


def _identity_provider(request: Request, tenant: str, resource: DesiredResource) -> IdentityProviderView:
    alias = broker_alias(tenant)
    return IdentityProviderView(
        identity_provider=_stored_provider.validate_python(resource.desired),
        redirect_uri=f"{get_context(request).settings.issuer.rstrip('/')}/broker/{alias}/endpoint",
        login_hint=f"kc_idp_hint={alias}",
        **_progress(resource),
    )


def _account(resource: DesiredResource, password: str | None = None) -> AccountView:
    state = AccountState.model_validate(resource.desired)
    return AccountView(
        person_id=UUID(resource.slug),
        username=state.username,
        email=state.email,
        existing=state.existing,
        open=state.open,
        temporary_password=password,
        **_progress(resource),
    )
