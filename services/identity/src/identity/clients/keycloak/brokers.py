"""A tenant's own identity provider, to which Keycloak brokers the logins of its people."""

from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.drift import merge
from identity.clients.keycloak.flows import delete_flows, ensure_first_login_flow, ensure_post_login_flow
from identity.clients.keycloak.organizations import broker_alias, ensure_organization, find_organization
from identity.model.applications import IdentityProvider, OidcProvider


async def ensure_broker(keycloak: Keycloak, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None:
    """Creates or updates the identity provider and its flows, linked to the tenant's organization, which disables it when it is
    disabled itself. `secret` None: the client secret stays."""
    alias, admin = broker_alias(tenant), keycloak.admin
    linking, arrival = await ensure_first_login_flow(keycloak, tenant), await ensure_post_login_flow(keycloak, tenant)
    flows = {"firstBrokerLoginFlowAlias": linking, "postBrokerLoginFlowAlias": arrival}
    desired = {**_representation(alias, provider), **flows}
    if secret is not None:
        desired["config"]["clientSecret"] = secret
    found = await keycloak.get(f"identity-provider/instances/{alias}")
    if found is not None and found["providerId"] != desired["providerId"]:
        await admin.a_delete_idp(alias)
        found = None
    if found is None:
        await admin.a_create_idp(desired)
    else:
        await admin.a_update_idp(alias, merge(found, desired))
        await _remove_member_mapper(keycloak, alias)
    await delete_flows(keycloak, tenant, "linking", except_flow=linking)
    await delete_flows(keycloak, tenant, "arrival", except_flow=arrival)
    organization = await find_organization(keycloak, tenant)
    identifier = (
        str(organization["id"])
        if organization
        else await ensure_organization(keycloak, tenant, name=tenant.title(), enabled=True)
    )
    linked: list[Json] = await admin.a_get_organization_idps(identifier)
    if all(each["alias"] != alias for each in linked):
        await admin.a_organization_idp_add(identifier, alias)


async def remove_broker(keycloak: Keycloak, tenant: str) -> None:
    """Removes the identity provider and its flows, if they exist."""
    if await keycloak.get(f"identity-provider/instances/{broker_alias(tenant)}") is not None:
        await keycloak.admin.a_delete_idp(broker_alias(tenant))
    await delete_flows(keycloak, tenant, "linking")
    await delete_flows(keycloak, tenant, "arrival")


async def _remove_member_mapper(keycloak: Keycloak, alias: str) -> None:
    """Removes the mapper that made everybody who signed in a member: providers from before ADR 14 have it."""
    for mapper in await keycloak.admin.a_get_idp_mappers(alias):
        if mapper["name"] == "member":
            await keycloak.delete(f"identity-provider/instances/{alias}/mappers/{mapper['id']}")


def _representation(alias: str, provider: IdentityProvider) -> Json:
    if isinstance(provider, OidcProvider):
        kind = "oidc"
        config = {
            "issuer": provider.issuer, "authorizationUrl": provider.authorization_url,
            "tokenUrl": provider.token_url, "jwksUrl": provider.jwks_url, "clientId": provider.client_id,
            "clientAuthMethod": "client_secret_post", "defaultScope": "openid profile email", "useJwksUrl": "true",
            "validateSignature": "true", "pkceEnabled": "true", "pkceMethod": "S256",
        }  # fmt: skip
    else:
        kind = "saml"
        config = {
            "idpEntityId": provider.entity_id, "singleSignOnServiceUrl": provider.sso_url,
            "signingCertificate": provider.certificate, "validateSignature": "true", "postBindingResponse": "true",
            "postBindingAuthnRequest": "true", "wantAssertionsSigned": "true",
            "nameIDPolicyFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        }  # fmt: skip
    return {
        "alias": alias, "providerId": kind, "enabled": True, "displayName": provider.name or alias,
        "trustEmail": False, "hideOnLogin": True, "config": {**config, "syncMode": "IMPORT"},
    }  # fmt: skip
