"""Applications of a tenant as clients of the realm: subsystems that sign people in by OpenID Connect or SAML, and machines."""

from identity.clients.keycloak.clients import (
    API_SCOPE,
    APPLICATION_ATTRIBUTE,
    TENANT_ATTRIBUTE,
    build_tenant_mapper,
    ensure_application_scopes,
    ensure_client,
)
from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.flows import delete_flows, ensure_browser_flow
from identity.model.applications import Application, Machine, OidcApplication, SamlApplication, application_id

_NAME_FORMAT = "Basic"


async def ensure_application(
    keycloak: Keycloak, tenant: str, slug: str, application: Application, *, secret: str | None = None
) -> str | None:
    """Creates or updates the application's client. `secret` None: it stays. Returns the `sub` of a machine's tokens, else None.
    Raises ProviderRefused when a client that is not ours has the client id."""
    if isinstance(application, Machine):
        desired = _machine(tenant)
    elif isinstance(application, OidcApplication):
        desired = _oidc(application)
    else:
        desired = _saml(application, f"{tenant}.{slug}")
    desired |= {
        "clientId": application_id(tenant, slug, application),
        "name": application.name or slug,
        "enabled": True,
    }
    desired["attributes"] = {**desired.get("attributes", {}), TENANT_ATTRIBUTE: tenant, APPLICATION_ATTRIBUTE: slug}
    gate = None if isinstance(application, Machine) else await ensure_browser_flow(keycloak, tenant)
    if gate is not None:
        desired["authenticationFlowBindingOverrides"] = {"browser": gate}
        desired["defaultClientScopes"].append((await ensure_application_scopes(keycloak, tenant))[desired["protocol"]])
    if secret is not None:
        desired["secret"] = secret
    identifier, _ = await ensure_client(keycloak, desired)
    if gate is not None:
        await delete_flows(keycloak, tenant, "gate", except_flow=gate)
        return None
    return str((await keycloak.admin.a_get_client_service_account_user(identifier))["id"])


async def remove_application(keycloak: Keycloak, tenant: str, slug: str, application: Application) -> None:
    """Removes the application's client, if it exists and is marked as ours."""
    found = await keycloak.find_client(application_id(tenant, slug, application))
    marks = found.get("attributes", {}) if found else {}
    if found and (marks.get(TENANT_ATTRIBUTE), marks.get(APPLICATION_ATTRIBUTE)) == (tenant, slug):
        await keycloak.admin.a_delete_client(found["id"])


def _machine(tenant: str) -> Json:
    return {
        "protocol": "openid-connect", "publicClient": False, "standardFlowEnabled": False,
        "implicitFlowEnabled": False, "directAccessGrantsEnabled": False, "serviceAccountsEnabled": True,
        "fullScopeAllowed": False, "redirectUris": [], "defaultClientScopes": ["basic", "service_account", API_SCOPE],
        "optionalClientScopes": [], "protocolMappers": [build_tenant_mapper(tenant)],
    }  # fmt: skip


def _oidc(application: OidcApplication) -> Json:
    attributes = {
        "post.logout.redirect.uris": "##".join(application.post_logout_redirect_uris),
        "backchannel.logout.url": application.back_channel_logout_uri or "",
        "backchannel.logout.session.required": "true",
        "pkce.code.challenge.method": "S256" if application.public else "",
    }
    return {
        "protocol": "openid-connect", "publicClient": application.public, "standardFlowEnabled": True,
        "implicitFlowEnabled": False, "directAccessGrantsEnabled": False, "serviceAccountsEnabled": False,
        "fullScopeAllowed": False, "frontchannelLogout": False, "redirectUris": application.redirect_uris,
        "webOrigins": application.origins() if application.public else [], "attributes": attributes,
        "defaultClientScopes": ["basic", "profile", "email"], "optionalClientScopes": ["organization"],
        "protocolMappers": [],
    }  # fmt: skip


def _saml(application: SamlApplication, url_name: str) -> Json:
    attributes = {
        "saml.authnstatement": "true", "saml.server.signature": "true", "saml.assertion.signature": "true",
        "saml.signature.algorithm": "RSA_SHA256", "saml.force.post.binding": "true",
        "saml_force_name_id_format": "true", "saml_name_id_format": application.name_id_format,
        "saml_assertion_consumer_url_post": application.acs_url,
        "saml_single_logout_service_url_post": application.slo_url or "",
        "saml.client.signature": "true" if application.certificate else "false",
        "saml.signing.certificate": application.certificate or "",
        "saml_idp_initiated_sso_url_name": url_name,
        "saml_idp_initiated_sso_relay_state": application.relay_state or "",
    }  # fmt: skip
    mappers = [
        _audience(number, audience) for number, audience in enumerate(application.audiences, start=1)
    ]  # fmt: skip
    for attribute in application.attributes:
        config = {"attribute.name": attribute.name, "attribute.nameformat": _NAME_FORMAT}
        kind, where = "saml-user-property-mapper", {"user.attribute": attribute.source}
        if attribute.value is not None:
            kind, where = "saml-hardcode-attribute-mapper", {"attribute.value": attribute.value}
        mappers.append(
            {"name": attribute.name, "protocol": "saml", "protocolMapper": kind, "config": {**config, **where}}
        )
    return {
        "protocol": "saml", "fullScopeAllowed": False, "frontchannelLogout": True,
        "redirectUris": [application.acs_url], "attributes": attributes, "defaultClientScopes": [],
        "optionalClientScopes": [], "protocolMappers": mappers,
    }  # fmt: skip


def _audience(number: int, audience: str) -> Json:
    return {
        "name": f"audience {number}",
        "protocol": "saml",
        "protocolMapper": "saml-audience-mapper",
        "config": {"included.custom.audience": audience},
    }
