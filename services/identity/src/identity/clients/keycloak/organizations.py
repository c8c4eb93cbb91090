"""A tenant is an Organization; a role marks its members; a flow lets nobody else into its applications."""

from dataclasses import dataclass
from typing import Any

from identity.clients.keycloak.connection import Json, Keycloak

ALTERNATIVE, REQUIRED, CONDITIONAL = "ALTERNATIVE", "REQUIRED", "CONDITIONAL"


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


@dataclass(frozen=True)
class _Step:
    """One execution of a flow, or with `steps` a flow in it."""

    requirement: str
    provider: str = ""
    name: str = ""
    steps: tuple["_Step", ...] = ()
    config: tuple[tuple[str, str], ...] = ()


def _gate(tenant: str) -> tuple[_Step, ...]:
    """First signed in as ever, by session or by form; then only members pass. Were the second part not apart from the
    first, a session from elsewhere would jump it."""
    second_factor = _Step(
        CONDITIONAL,
        name=f"{tenant} one-time password",
        steps=(_Step(REQUIRED, "conditional-user-configured"), _Step(REQUIRED, "auth-otp-form")),
    )
    form = _Step(
        ALTERNATIVE,
        name=f"{tenant} form",
        steps=(_Step(REQUIRED, "auth-username-password-form"), second_factor),
    )
    session = _Step(ALTERNATIVE, "auth-cookie"), _Step(ALTERNATIVE, "identity-provider-redirector")
    no_member = (("condUserRole", member_role(tenant)), ("negate", "true"))
    refused = (("denyErrorMessage", "This application belongs to another organization."),)
    return (
        _Step(REQUIRED, name=f"{tenant} sign in", steps=(*session, form)),
        _Step(
            CONDITIONAL,
            name=f"{tenant} members only",
            steps=(
                _Step(REQUIRED, "conditional-user-role", config=no_member),
                _Step(REQUIRED, "deny-access-authenticator", config=refused),
            ),
        ),
    )


async def keep_gate(keycloak: Keycloak, tenant: str) -> str:
    """The id of the browser flow of the tenant's applications. One that was made halfway is made anew: nothing is bound
    to it before it is whole."""
    alias, done = f"tenant-{tenant}", "Members of the organization only"
    flows: list[Json] = await keycloak.get("authentication/flows")
    found = next((each for each in flows if each["alias"] == alias), None)
    if found is not None and found.get("description") == done:
        return str(found["id"])
    if found is not None:
        await keycloak.admin.a_delete_authentication_flow(found["id"])
    body = {"alias": alias, "providerId": "basic-flow", "topLevel": True, "builtIn": False, "description": "unfinished"}
    await keycloak.admin.a_create_authentication_flow(body)
    await _add_steps(keycloak, alias, _gate(tenant))
    flows = await keycloak.get("authentication/flows")
    made = next(each for each in flows if each["alias"] == alias)
    await keycloak.put(f"authentication/flows/{made['id']}", {**made, "description": done})
    return str(made["id"])


async def _add_steps(keycloak: Keycloak, flow: str, steps: tuple[_Step, ...]) -> None:
    for step in steps:
        if step.steps:
            body = {"alias": step.name, "type": "basic-flow", "provider": "registration-page-form", "description": ""}
            await keycloak.admin.a_create_authentication_flow_subflow(body, flow)
        else:
            await keycloak.admin.a_create_authentication_flow_execution({"provider": step.provider}, flow)
        executions: list[Json] = await keycloak.admin.a_get_authentication_flow_executions(flow)
        added: dict[str, Any] = next(
            each
            for each in reversed(executions)
            if (each["displayName"] == step.name if step.steps else each.get("providerId") == step.provider)
        )
        await keycloak.admin.a_update_authentication_flow_executions({**added, "requirement": step.requirement}, flow)
        if step.config:
            config = {"alias": f"{flow} {step.provider}", "config": dict(step.config)}
            await keycloak.admin.a_create_execution_config(added["id"], config)
        if step.steps:
            await _add_steps(keycloak, step.name, step.steps)
