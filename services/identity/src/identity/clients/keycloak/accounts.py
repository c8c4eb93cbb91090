"""Accounts of people, as users of the realm."""

from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.organizations import HOME_TENANT_ATTRIBUTE, ensure_member, remove_member
from identity.clients.provider import ProviderRefused
from identity.model.applications import Account


async def ensure_account(keycloak: Keycloak, tenant: str, account: Account, *, password: str | None = None) -> str:
    """Creates or updates the account, enabled and a member of the tenant's organization; a linked one only becomes a member.
    Returns its `sub`. `password`: a temporary one, to be changed at the first login; existing sessions end. Raises
    ProviderRefused when the username belongs to another tenant, when the username or the address is that of another account,
    and when a linked account does not exist."""
    found = await find_account(keycloak, account.username)
    if account.linked:
        if found is None:
            raise ProviderRefused("unknown-account", f"There is no account `{account.username}`.")
        await ensure_member(keycloak, tenant, found["id"], guest=get_home_tenant(found) != tenant)
        return str(found["id"])
    if found is not None and get_home_tenant(found) != tenant:
        raise ProviderRefused("username-taken", f"The username `{account.username}` is taken. Choose another.")
    await _require_own_address(keycloak, account)
    desired = {
        "username": account.username, "firstName": account.display_name, "email": account.email, "enabled": True,
        "attributes": {HOME_TENANT_ATTRIBUTE: [tenant]},
    }  # fmt: skip
    if found is None:
        user_id = await keycloak.admin.a_create_user(desired)
    else:
        user_id = str(found["id"])
        await keycloak.admin.a_update_user(user_id, desired)
    if password is not None:
        await keycloak.admin.a_set_user_password(user_id, password, temporary=True)
        # Ends the sessions that the old password opened, and their refresh tokens.
        await keycloak.admin.a_user_logout(user_id)
    await ensure_member(keycloak, tenant, user_id)
    return user_id


async def _require_own_address(keycloak: Keycloak, account: Account) -> None:
    """Raises ProviderRefused when the address is the username of another account, or the username its address: people sign in by
    either."""
    for text, by in ((account.email, "username"), (account.username, "email")):
        found: list[Json] = await keycloak.get("users", exact="true", **{by: text}) if text and "@" in text else []
        if any(each["username"] != account.username for each in found):
            raise ProviderRefused("email-taken", f"`{text}` is what somebody else's account goes by.")


async def close_account(keycloak: Keycloak, tenant: str, account: Account) -> None:
    """Disables the account and ends its sessions; of another tenant's account only the membership ends."""
    found = await find_account(keycloak, account.username)
    if found is None:
        return
    if account.linked:
        if not await remove_member(keycloak, tenant, found["id"]):
            return
    elif get_home_tenant(found) == tenant:
        await keycloak.admin.a_update_user(found["id"], {**found, "enabled": False})
    else:
        return
    # Its tokens may be for this tenant. A new login checks the membership again.
    await keycloak.admin.a_user_logout(found["id"])


async def find_account(keycloak: Keycloak, username: str) -> Json | None:
    """The user of this username, of whatever tenant; None when there is none."""
    found: list[Json] = await keycloak.get("users", username=username, exact="true", briefRepresentation="false")
    return found[0] if found else None


def get_home_tenant(account: Json) -> str | None:
    """The tenant that the user belongs to; None when it is not marked."""
    return next(iter(account.get("attributes", {}).get(HOME_TENANT_ATTRIBUTE, [])), None)
