"""The Organization of a tenant. Realm roles mark its members, and its guests: members whose account belongs to another tenant."""

from identity.clients.keycloak.connection import Json, Keycloak

HOME_TENANT_ATTRIBUTE = "uplift_tenant"
"""The user attribute with the tenant that the account belongs to."""
GUEST_ROLE = "guest"
"""The role of every account that is a guest of some tenant."""


def member_role(tenant: str) -> str:
    """The name of the realm role that marks the tenant's members."""
    return f"member-of-{tenant}"


def guest_role(tenant: str) -> str:
    """The name of the realm role that marks the tenant's guests."""
    return f"guest-of-{tenant}"


def broker_alias(tenant: str) -> str:
    """The alias of the tenant's own identity provider."""
    return f"{tenant}-idp"


async def ensure_organization(keycloak: Keycloak, tenant: str, *, name: str, enabled: bool) -> str:
    """Creates or updates the organization, with the tenant's slug as its alias. Returns its id."""
    found = await find_organization(keycloak, tenant)
    desired = {"name": f"{name} ({tenant})", "alias": tenant, "enabled": enabled}
    if found is None:
        made = await keycloak.admin.a_create_organization(desired)
        assert made is not None
        identifier = made
    else:
        identifier = str(found["id"])
        if any(found.get(key) != value for key, value in desired.items()):
            before = await keycloak.admin.a_get_organization(identifier)
            await keycloak.admin.a_update_organization(identifier, {**before, **desired})
    await ensure_member_role(keycloak, tenant)
    return identifier


async def ensure_member_role(keycloak: Keycloak, tenant: str) -> None:
    """Creates the realm role of the tenant's members, unless it exists."""
    if await keycloak.get(f"roles/{member_role(tenant)}") is None:
        await keycloak.admin.a_create_realm_role({"name": member_role(tenant), "description": f"Belongs to {tenant}"})


async def find_organization(keycloak: Keycloak, tenant: str) -> Json | None:
    """The tenant's organization; None when there is none."""
    first, size = 0, 100
    while True:
        # Keycloak searches by parts of the name, and the name ends in the slug.
        page: list[Json] = await keycloak.get("organizations", first=first, max=size, search=tenant)
        found = next((each for each in page if each["alias"] == tenant), None)
        if found is not None or len(page) < size:
            return found
        first += size


async def ensure_member(keycloak: Keycloak, tenant: str, user_id: str, *, guest: bool = False) -> None:
    """Makes the user a member of the tenant's organization. `guest`: the account belongs to another tenant. The sessions of a new
    guest end: they may come from the identity provider of its own tenant, which is trusted for that tenant only."""
    organization = await find_organization(keycloak, tenant)
    if organization is None:
        organization = {"id": await ensure_organization(keycloak, tenant, name=tenant.title(), enabled=True)}
    belongs = await keycloak.get(f"organizations/{organization['id']}/members/{user_id}")
    if belongs is None:
        await keycloak.admin.a_organization_user_add(user_id, organization["id"])
    name = guest_role(tenant) if guest else member_role(tenant)
    if any(each["name"] == name for each in await keycloak.admin.a_get_realm_roles_of_user(user_id)):
        return
    if guest:
        await _ensure_guest_role(keycloak, tenant)
    await keycloak.admin.a_assign_realm_roles(user_id, [await keycloak.admin.a_get_realm_role(name)])
    if guest:
        await keycloak.admin.a_user_logout(user_id)


async def _ensure_guest_role(keycloak: Keycloak, tenant: str) -> None:
    """Creates the tenant's guest role, which includes its member role and the role of all guests."""
    admin = keycloak.admin
    for name in (GUEST_ROLE, guest_role(tenant)):
        await admin.a_create_realm_role({"name": name}, skip_exists=True)
    parts = [await admin.a_get_realm_role(name) for name in (GUEST_ROLE, member_role(tenant))]
    await admin.a_add_composite_realm_roles_to_role(guest_role(tenant), parts)


async def remove_member(keycloak: Keycloak, tenant: str, user_id: str) -> bool:
    """Ends the user's membership in the tenant. Returns whether there was one."""
    organization = await find_organization(keycloak, tenant)
    if organization and await keycloak.get(f"organizations/{organization['id']}/members/{user_id}") is not None:
        await keycloak.admin.a_organization_user_remove(user_id, organization["id"])
    held = await keycloak.admin.a_get_realm_roles_of_user(user_id)
    removed = [each for each in held if each["name"] in (member_role(tenant), guest_role(tenant))]
    if removed:
        await keycloak.admin.a_delete_realm_roles_of_user(user_id, removed)
    await keycloak.delete(f"users/{user_id}/federated-identity/{broker_alias(tenant)}")
    return bool(removed)
