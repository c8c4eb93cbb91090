"""The realm: created once, compared and repaired from then on."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from contracts import ALL_SERVICES
from servicekit.door.docs_page import CLIENT_ID as DOCS_CLIENT

from identity.clients.keycloak.clients import API_SCOPE, ensure_client
from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.drift import find_drift, merge

_MANAGED_BY_ADMIN = {"view": ["admin", "user"], "edit": ["admin"]}
_REALM_MANAGEMENT_ROLES = (
    "manage-clients", "manage-identity-providers", "manage-organizations", "manage-realm", "manage-users",
    "view-clients", "view-identity-providers", "view-organizations", "view-realm", "view-users",
)  # fmt: skip


@dataclass(frozen=True)
class RealmSpec:
    """What the realm shall be. `portal_url`: the public address, without a trailing slash. `back_channel_url`: where Keycloak
    reaches identity's back-channel logout. `service_client`: identity's service account; `service_secret` None: Keycloak
    generates its secret."""

    name: str
    audience: str
    portal_url: str
    back_channel_url: str
    service_client: str
    service_secret: str | None = None
    portal_client: str = "portal"


@dataclass
class RealmReport:
    """The parts that were created, and the drift of the others, one line each; `repaired`: the drift is gone."""

    created: list[str] = field(default_factory=list[str])
    drift: list[str] = field(default_factory=list[str])
    repaired: bool = False

    def record(self, part: str, drift: list[str]) -> None:
        """Adds a part with its drift, or as created when the drift is `was missing`."""
        if drift == ["was missing"]:
            self.created.append(part)
        else:
            self.drift += [f"{part}: {each}" for each in drift]


def _settings(spec: RealmSpec) -> Json:
    # At a loopback address every caller is local, but a gateway's address in X-Forwarded-For may look external.
    address = urlsplit(spec.portal_url)
    tls = (
        "all" if address.scheme == "https" else "none" if address.hostname in ("127.0.0.1", "localhost") else "external"
    )
    return {
        "realm": spec.name, "enabled": True, "displayName": "Uplift", "organizationsEnabled": True,
        "registrationAllowed": False, "resetPasswordAllowed": False, "editUsernameAllowed": False,
        "loginWithEmailAllowed": True, "duplicateEmailsAllowed": False, "rememberMe": False,
        "sslRequired": tls, "defaultSignatureAlgorithm": "RS256",
        "passwordPolicy": "length(12) and maxLength(128) and notUsername(undefined) and notEmail(undefined)",
        "bruteForceProtected": True, "permanentLockout": False, "failureFactor": 10, "waitIncrementSeconds": 60,
        "maxFailureWaitSeconds": 900, "accessTokenLifespan": 300, "accessCodeLifespan": 60,
        "ssoSessionIdleTimeout": 7200, "ssoSessionMaxLifespan": 36000, "revokeRefreshToken": True,
        "refreshTokenMaxReuse": 0,
    }  # fmt: skip


def _profile() -> Json:
    """The user profile. Names and addresses come from the directory, which finds people by them: nobody edits their own."""
    return {
        "unmanagedAttributePolicy": "ADMIN_EDIT",
        "attributes": [
            {"name": "username", "displayName": "${username}", "permissions": _MANAGED_BY_ADMIN, "multivalued": False,
             "validations": {"length": {"min": 3, "max": 255}, "username-prohibited-characters": {},
                             "up-username-not-idn-homograph": {}}},
            {"name": "email", "displayName": "${email}", "permissions": _MANAGED_BY_ADMIN, "multivalued": False,
             "validations": {"email": {}, "length": {"max": 255}}},
            *({"name": name, "displayName": f"${{{name}}}", "permissions": _MANAGED_BY_ADMIN, "multivalued": False,
               "validations": {"length": {"max": 255}, "person-name-prohibited-characters": {}}}
              for name in ("firstName", "lastName")),
        ],
        "groups": [],
    }  # fmt: skip


def _api_scope(spec: RealmSpec) -> Json:
    return {
        "name": API_SCOPE,
        "description": "Access tokens for the API of Uplift",
        "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "false", "display.on.consent.screen": "false"},
    }


def _audience_mapper(spec: RealmSpec) -> Json:
    return {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {
            "included.custom.audience": spec.audience, "access.token.claim": "true", "id.token.claim": "false",
            "introspection.token.claim": "true",
        },
    }  # fmt: skip


def _portal(spec: RealmSpec) -> Json:
    return {
        "clientId": spec.portal_client, "name": "Uplift", "protocol": "openid-connect", "enabled": True,
        "publicClient": True, "standardFlowEnabled": True, "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False, "serviceAccountsEnabled": False, "fullScopeAllowed": False,
        "frontchannelLogout": False, "redirectUris": [f"{spec.portal_url}/"], "webOrigins": [spec.portal_url],
        "attributes": {
            "pkce.code.challenge.method": "S256", "post.logout.redirect.uris": f"{spec.portal_url}/",
            "backchannel.logout.url": spec.back_channel_url, "backchannel.logout.session.required": "true",
        },
        "defaultClientScopes": ["basic", "profile", "email", API_SCOPE], "optionalClientScopes": ["organization"],
        "protocolMappers": [],
    }  # fmt: skip


def _api_pages(spec: RealmSpec) -> Json:
    """The client of the services' API pages, on which a reader signs in and tries operations."""
    pages = [f"{spec.portal_url}/api/{service}/v1/docs/oauth2-redirect" for service in ALL_SERVICES]
    return {
        "clientId": DOCS_CLIENT, "name": "Uplift API", "protocol": "openid-connect", "enabled": True,
        "publicClient": True, "standardFlowEnabled": True, "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False, "serviceAccountsEnabled": False, "fullScopeAllowed": False,
        "frontchannelLogout": False, "redirectUris": pages, "webOrigins": [spec.portal_url],
        "attributes": {"pkce.code.challenge.method": "S256"},
        "defaultClientScopes": ["basic", "profile", "email", API_SCOPE], "optionalClientScopes": ["organization"],
        "protocolMappers": [],
    }  # fmt: skip


def _service(spec: RealmSpec) -> Json:
    secret = {} if spec.service_secret is None else {"secret": spec.service_secret}
    return {
        "clientId": spec.service_client, "name": "Uplift identity", "protocol": "openid-connect", "enabled": True,
        "publicClient": False, "standardFlowEnabled": False, "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False, "serviceAccountsEnabled": True, "redirectUris": [],
        "defaultClientScopes": ["basic", "roles", "service_account"], "optionalClientScopes": [], **secret,
    }  # fmt: skip


async def ensure_realm(keycloak: Keycloak, spec: RealmSpec, *, repair: bool) -> RealmReport:
    """Creates what is missing of the realm, and reports the drift; with `repair` it is repaired. The connection must be that of an
    administrator of the Keycloak."""
    report = RealmReport(repaired=repair)
    admin = keycloak.admin
    realms = [each["realm"] for each in await admin.a_get_realms()]
    if spec.name not in realms:
        await admin.a_create_realm(_settings(spec))
        report.record("realm", ["was missing"])
        # The old token does not include the new realm.
        await admin.connection.a_get_token()
        await keycloak.put("users/profile", _profile())
    else:
        found = await admin.a_get_realm(spec.name)
        drift = find_drift(_settings(spec), found)
        report.record("realm", drift)
        if drift and repair:
            await admin.a_update_realm(spec.name, _settings(spec))
        await _ensure_profile(keycloak, report, repair=repair)
    await _ensure_api_scope(keycloak, spec, report, repair=repair)
    for desired in (_portal(spec), _api_pages(spec), _service(spec)):
        _, drift = await ensure_client(keycloak, desired, repair=repair)
        report.record(f"client {desired['clientId']}", drift)
    await _ensure_service_roles(keycloak, spec, report, repair=repair)
    return report


async def _ensure_profile(keycloak: Keycloak, report: RealmReport, *, repair: bool) -> None:
    found = await keycloak.get("users/profile")
    desired = _by_name(_profile())
    drift = find_drift(desired, _by_name(found))
    drift += [f"{name} is there" for name in sorted(_by_name(found).keys() - desired.keys())]
    drift += [f"{each['name']}.required is there" for each in found["attributes"] if each.get("required") is not None]
    report.record("user profile", drift)
    if drift and repair:
        await keycloak.put("users/profile", _profile())


def _by_name(profile: Json) -> Json:
    policy = {"unmanagedAttributePolicy": profile.get("unmanagedAttributePolicy")}
    return policy | {each["name"]: each for each in profile["attributes"]}


async def _ensure_api_scope(keycloak: Keycloak, spec: RealmSpec, report: RealmReport, *, repair: bool) -> None:
    admin, desired, mapper = keycloak.admin, _api_scope(spec), _audience_mapper(spec)
    found = await admin.a_get_client_scope_by_name(API_SCOPE)
    if found is None:
        await admin.a_create_client_scope({**desired, "protocolMappers": [mapper]})
        report.record(f"client scope {API_SCOPE}", ["was missing"])
        return
    present: Any = next((each for each in found.get("protocolMappers", []) if each["name"] == mapper["name"]), None)
    drift = find_drift(desired, found) + [f"audience: {each}" for each in find_drift(mapper, present)]
    report.record(f"client scope {API_SCOPE}", drift)
    if drift and repair:
        await admin.a_update_client_scope(found["id"], merge(found, desired))
        if present is None:
            await admin.a_add_mapper_to_client_scope(found["id"], mapper)
        else:
            await admin.a_update_mapper_in_client_scope(found["id"], present["id"], merge(present, mapper))


async def _ensure_service_roles(keycloak: Keycloak, spec: RealmSpec, report: RealmReport, *, repair: bool) -> None:
    """Gives identity's service account its roles in the realm: managing everything but roles and permissions."""
    admin = keycloak.admin
    service = await keycloak.find_client(spec.service_client)
    management = await keycloak.find_client("realm-management")
    assert service is not None
    assert management is not None
    account = await admin.a_get_client_service_account_user(service["id"])
    roles = {each["name"]: each for each in await admin.a_get_client_roles(management["id"])}
    held = {each["name"] for each in await admin.a_get_client_roles_of_user(account["id"], management["id"])}
    missing = [roles[name] for name in _REALM_MANAGEMENT_ROLES if name not in held]
    if missing:
        part = f"rights of {spec.service_client}"
        fresh = f"client {spec.service_client}" in report.created
        report.record(part, ["was missing"] if fresh else [f"{each['name']} is missing" for each in missing])
        if fresh or repair:
            await admin.a_assign_client_role(account["id"], management["id"], missing)
