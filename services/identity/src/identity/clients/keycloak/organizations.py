"""A tenant is an Organization; a role marks its members."""

from identity.clients.keycloak.connection import Json, Keycloak


def member_role(tenant: str) -> str:
    return f"member-of-{tenant}"


async def keep_organization(keycloak: Keycloak, tenant: str, *, name: str, enabled: bool) -> str:
    """Its id. Its alias is the tenant's slug, and never changes."""
    found = await find_organization(keycloak, tenant)
    wanted = {"name": f"{name} ({tenant})", "alias": tenant, "enabled": enabled}
    if found is None:
        made = await keycloak.admin.a_create_organization(wanted)
        assert made is not None
        identifier = made
    else:
        identifier = str(found["id"])
        if any(found.get(key) != value for key, value in wanted.items()):
            whole = await keycloak.admin.a_get_organization(identifier)
            await keycloak.admin.a_update_organization(identifier, {**whole, **wanted})
    if await keycloak.get(f"roles/{member_role(tenant)}") is None:
        await keycloak.admin.a_create_realm_role({"name": member_role(tenant), "description": f"Belongs to {tenant}"})
    return identifier


async def find_organization(keycloak: Keycloak, tenant: str) -> Json | None:
    first, size = 0, 100
    while True:
        # The search is by parts of the name, and the name ends in the slug.
        page: list[Json] = await keycloak.get("organizations", first=first, max=size, search=tenant)
        found = next((each for each in page if each["alias"] == tenant), None)
        if found is not None or len(page) < size:
            return found
        first += size


async def keep_member(keycloak: Keycloak, tenant: str, user_id: str) -> None:
    organization = await find_organization(keycloak, tenant)
    if organization is None:
        organization = {"id": await keep_organization(keycloak, tenant, name=tenant.title(), enabled=True)}
    belongs = await keycloak.get(f"organizations/{organization['id']}/members/{user_id}")
    if belongs is None:
        await keycloak.admin.a_organization_user_add(user_id, organization["id"])
    role = await keycloak.admin.a_get_realm_role(member_role(tenant))
    await keycloak.admin.a_assign_realm_roles(user_id, [role])


async def drop_member(keycloak: Keycloak, tenant: str, user_id: str) -> None:
    organization = await find_organization(keycloak, tenant)
    if organization and await keycloak.get(f"organizations/{organization['id']}/members/{user_id}") is not None:
        await keycloak.admin.a_organization_user_remove(user_id, organization["id"])
    role = await keycloak.get(f"roles/{member_role(tenant)}")
    if role is not None:
        await keycloak.admin.a_delete_realm_roles_of_user(user_id, [role])
