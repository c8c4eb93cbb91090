"""Login accounts of people."""

from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.organizations import HOME_TENANT_ATTRIBUTE, ensure_member, remove_member
from identity.clients.provider import ProviderRefused
from identity.model.applications import Account


async def ensure_account(keycloak: Keycloak, tenant: str, account: Account, *, password: str | None = None) -> str:
    """Brings the account about, enabled and a member of the tenant's organization. Returns its `sub`. `password` must
    be changed at the first login. Raises Refused when the username belongs to another tenant."""
    found = await find_account(keycloak, account.username)
    if account.linked:
        if found is None:
            raise ProviderRefused("unknown-account", f"There is no account `{account.username}`.")
        await ensure_member(keycloak, tenant, found["id"], guest=home_tenant_of(found) != tenant)
        return str(found["id"])
    if found is not None and home_tenant_of(found) != tenant:
        raise ProviderRefused("username-taken", f"The username `{account.username}` is taken. Choose another.")
    await _require_own_address(keycloak, account)
    wanted = {
        "username": account.username, "firstName": account.display_name, "email": account.email, "enabled": True,
        "attributes": {HOME_TENANT_ATTRIBUTE: [tenant]},
    }  # fmt: skip
    if found is None:
        user_id = await keycloak.admin.a_create_user(wanted)
    else:
        user_id = str(found["id"])
        await keycloak.admin.a_update_user(user_id, wanted)
    if password is not None:
        await keycloak.admin.a_set_user_password(user_id, password, temporary=True)
        # Who got in by the old one is out: sessions, and the refresh tokens that came from them.
        await keycloak.admin.a_user_logout(user_id)
    await ensure_member(keycloak, tenant, user_id)
    return user_id


async def _require_own_address(keycloak: Keycloak, account: Account) -> None:
    """People sign in by username or address: what is the one of somebody is never the other of somebody else. Raises
    Refused."""
    for text, by in ((account.email, "username"), (account.username, "email")):
        found: list[Json] = await keycloak.get("users", exact="true", **{by: text}) if text and "@" in text else []
        if any(each["username"] != account.username for each in found):
            raise ProviderRefused("email-taken", f"`{text}` is what somebody else's account goes by.")


async def close_account(keycloak: Keycloak, tenant: str, account: Account) -> None:
    """Disables it and ends its sessions; of another tenant's account only the membership ends."""
    found = await find_account(keycloak, account.username)
    if found is None:
        return
    if account.linked:
        if not await remove_member(keycloak, tenant, found["id"]):
            return
    elif home_tenant_of(found) == tenant:
        await keycloak.admin.a_update_user(found["id"], {**found, "enabled": False})
    else:
        return
    # Its tokens may be of this tenant: signing in again will tell.
    await keycloak.admin.a_user_logout(found["id"])


async def find_account(keycloak: Keycloak, username: str) -> Json | None:
    """The account of this username, whosever it is."""
    found: list[Json] = await keycloak.get("users", username=username, exact="true", briefRepresentation="false")
    return found[0] if found else None


def home_tenant_of(account: Json) -> str | None:
    """The tenant whose it is."""
    return next(iter(account.get("attributes", {}).get(HOME_TENANT_ATTRIBUTE, [])), None)
