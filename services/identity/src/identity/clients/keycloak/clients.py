"""Clients of the realm: creating them, and repairing their drift."""

from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.drift import find_drift, merge
from identity.clients.provider import ProviderRefused

API_SCOPE = "uplift-api"
"""The scope that gives an access token our audience. Only our portal, the API pages and machines have it: a subsystem that
signs people in must not get tokens with which it could call our API in their name."""
TENANT_ATTRIBUTE, APPLICATION_ATTRIBUTE = "uplift.tenant", "uplift.application"
_SCOPES = {"defaultClientScopes": "default", "optionalClientScopes": "optional"}


async def ensure_application_scopes(keycloak: Keycloak, tenant: str) -> dict[str, str]:
    """Creates the scopes that mark the tenant's applications, and returns them by protocol. A flow can check a client only by its
    scopes, and a scope belongs to one protocol. They grant nothing and do not appear in tokens. Both always exist together:
    Keycloak treats a condition on a missing scope as not met, even when it is negated."""
    scopes = {"openid-connect": f"application-of-{tenant}", "saml": f"saml-application-of-{tenant}"}
    existing = {each["name"] for each in await keycloak.admin.a_get_client_scopes()}
    hidden = {"include.in.token.scope": "false", "display.on.consent.screen": "false"}
    for protocol, name in scopes.items():
        if name not in existing:
            await keycloak.admin.a_create_client_scope({"name": name, "protocol": protocol, "attributes": hidden})
    return scopes


def build_tenant_mapper(tenant: str) -> Json:
    """The mapper that puts the claim `tenant` into a machine's tokens."""
    return {
        "name": "tenant",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-hardcoded-claim-mapper",
        "config": {
            "claim.name": "tenant", "claim.value": tenant, "jsonType.label": "String", "access.token.claim": "true",
            "id.token.claim": "false", "userinfo.token.claim": "false", "introspection.token.claim": "true",
        },
    }  # fmt: skip


async def ensure_client(keycloak: Keycloak, desired: Json, *, repair: bool = True) -> tuple[str, list[str]]:
    """Creates the client, or with `repair` brings it to the representation `desired`. Returns its internal id and its drift, one
    line each. Raises ProviderRefused when a client that is not ours has the client id."""
    found = await keycloak.find_client(desired["clientId"])
    if found is None:
        return await keycloak.admin.a_create_client(desired), ["was missing"]
    ours = {name: desired.get("attributes", {}).get(name) for name in (TENANT_ATTRIBUTE, APPLICATION_ATTRIBUTE)}
    if any(found.get("attributes", {}).get(name) != value for name, value in ours.items()):
        raise ProviderRefused("client-id-taken", f"The client id `{desired['clientId']}` is taken.")
    same_secret = "secret" not in desired or found.get("secret") == desired["secret"]
    compared = {name: value for name, value in desired.items() if name not in ("secret", "protocolMappers")}
    drift = ([] if same_secret else ["secret is another"]) + find_drift(compared, found)
    drift += [
        f"protocolMappers.{mapper['name']}: {each}"
        for mapper in desired.get("protocolMappers", [])
        for each in find_drift(mapper, _find_by_name(found.get("protocolMappers", []), mapper["name"]))
    ]
    extra = {each["name"] for each in found.get("protocolMappers", [])} - {
        each["name"] for each in desired.get("protocolMappers", [])
    }
    drift += [f"protocolMappers.{name} is there" for name in sorted(extra)]
    if drift and repair:
        await keycloak.admin.a_update_client(found["id"], merge(found, {**compared, **_secret(desired)}))
        await _ensure_mappers(keycloak, found, desired.get("protocolMappers", []))
        await _ensure_scopes(keycloak, found, desired)
    return found["id"], drift


def _secret(desired: Json) -> Json:
    return {"secret": desired["secret"]} if "secret" in desired else {}


def _find_by_name(many: list[Json], name: str) -> Json | None:
    return next((each for each in many if each["name"] == name), None)


async def _ensure_mappers(keycloak: Keycloak, found: Json, desired: list[Json]) -> None:
    old = {each["name"]: each for each in found.get("protocolMappers", [])}
    for each in desired:
        before = old.pop(each["name"], None)
        if before is None:
            await keycloak.admin.a_add_mapper_to_client(found["id"], each)
        elif find_drift(each, before):
            await keycloak.admin.a_update_client_mapper(found["id"], before["id"], merge(before, each))
    for left in old.values():
        await keycloak.admin.a_remove_client_mapper(found["id"], left["id"])


async def _ensure_scopes(keycloak: Keycloak, found: Json, desired: Json) -> None:
    """Adds and removes scopes one by one: an update of a client ignores them."""
    known: list[Json] | None = None
    for field, kind in _SCOPES.items():
        if field not in desired or sorted(found.get(field, [])) == sorted(desired[field]):
            continue
        known = known or await keycloak.admin.a_get_client_scopes()
        ids = {each["name"]: each["id"] for each in known}
        add = getattr(keycloak.admin, f"a_add_client_{kind}_client_scope")
        remove = getattr(keycloak.admin, f"a_delete_client_{kind}_client_scope")
        for name in set(found.get(field, [])) - set(desired[field]):
            await remove(found["id"], ids[name])
        for name in set(desired[field]) - set(found.get(field, [])):
            await add(found["id"], ids[name], {})
