"""A tenant's own ways to sign in: what a browser goes through, and who does not get through."""

from dataclasses import dataclass
from typing import Any

from identity.clients.keycloak.clients import API_SCOPE, keep_application_scopes
from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.organizations import member_role

ALTERNATIVE, REQUIRED, CONDITIONAL = "ALTERNATIVE", "REQUIRED", "CONDITIONAL"
_DONE = "Members of the organization only"


@dataclass(frozen=True)
class _Step:
    """One execution of a flow, or with `steps` a flow in it."""

    requirement: str
    provider: str = ""
    name: str = ""
    steps: tuple["_Step", ...] = ()
    config: tuple[tuple[str, str], ...] = ()


async def keep_gate(keycloak: Keycloak, tenant: str) -> str:
    """The id of the browser flow of the tenant's applications. First signed in as ever, by session or by form; then only
    members pass. Were the second part not apart from the first, a session from elsewhere would jump it."""
    sign_in = _Step(
        REQUIRED,
        name=f"{tenant} sign in",
        steps=(
            _Step(ALTERNATIVE, "auth-cookie"),
            _Step(ALTERNATIVE, "identity-provider-redirector"),
            _Step(
                ALTERNATIVE,
                name=f"{tenant} form",
                steps=(
                    _Step(REQUIRED, "auth-username-password-form"),
                    _second_factor(f"{tenant} one-time password"),
                ),
            ),
        ),
    )
    return await _keep_flow(keycloak, _gate(tenant), (sign_in, _members_only(tenant, f"{tenant} members only")))


async def keep_linking(keycloak: Keycloak, tenant: str) -> str:
    """The alias of the flow for somebody who comes from the tenant's own provider for the first time. Accounts are made
    here alone: one that the provider made would be nobody's, and take the name or address of somebody to come. And the
    provider is believed about the tenant's members only, or it could say that it knows another tenant's people."""
    return await _keep_named(
        keycloak,
        _linking(tenant),
        (
            _Step(REQUIRED, "idp-detect-existing-broker-user"),
            _Step(REQUIRED, "idp-confirm-link"),
            _Step(
                REQUIRED,
                name=f"{tenant} proof",
                steps=(
                    _Step(REQUIRED, "idp-username-password-form"),
                    _second_factor(f"{tenant} proof by one-time password"),
                ),
            ),
            _members_only(tenant, f"{tenant} members only are linked"),
        ),
    )


async def keep_arrival(keycloak: Keycloak, tenant: str) -> str:
    """The alias of the flow for everybody who comes from the tenant's own provider. Keycloak does not go on with the flow
    that sent them there, so the gate of an application is not passed: with the tenant's people nothing opens but the
    portal and the tenant's applications."""
    scopes = (API_SCOPE, *(await keep_application_scopes(keycloak, tenant)).values())
    elsewhere = tuple(
        _Step(REQUIRED, "conditional-client-scope", config=(("client_scope", scope), ("negate", "true")))
        for scope in scopes
    )
    denied = _Step(CONDITIONAL, name=f"{tenant} applications only", steps=(*elsewhere, _refused()))
    return await _keep_named(keycloak, _arrival(tenant), (_Step(REQUIRED, "allow-access-authenticator"), denied))


async def drop_broker_flows(keycloak: Keycloak, tenant: str) -> None:
    for alias in (_linking(tenant), _arrival(tenant)):
        found = await _find(keycloak, alias)
        if found is not None:
            await keycloak.admin.a_delete_authentication_flow(found["id"])


def _gate(tenant: str) -> str:
    return f"tenant-{tenant}"


def _linking(tenant: str) -> str:
    return f"tenant-{tenant}-linking"


def _arrival(tenant: str) -> str:
    return f"tenant-{tenant}-arrival"


def _members_only(tenant: str, name: str) -> _Step:
    no_member = (("condUserRole", member_role(tenant)), ("negate", "true"))
    return _Step(CONDITIONAL, name=name, steps=(_Step(REQUIRED, "conditional-user-role", config=no_member), _refused()))


def _second_factor(name: str) -> _Step:
    return _Step(
        CONDITIONAL,
        name=name,
        steps=(_Step(REQUIRED, "conditional-user-configured"), _Step(REQUIRED, "auth-otp-form")),
    )


def _refused() -> _Step:
    told = (("denyErrorMessage", "This application belongs to another organization."),)
    return _Step(REQUIRED, "deny-access-authenticator", config=told)


async def _find(keycloak: Keycloak, alias: str) -> Json | None:
    flows: list[Json] = await keycloak.get("authentication/flows")
    return next((each for each in flows if each["alias"] == alias), None)


async def _keep_named(keycloak: Keycloak, alias: str, steps: tuple[_Step, ...]) -> str:
    await _keep_flow(keycloak, alias, steps)
    return alias


async def _keep_flow(keycloak: Keycloak, alias: str, steps: tuple[_Step, ...]) -> str:
    """Its id. One that was made halfway is made anew: nothing is bound to it before it is whole."""
    found = await _find(keycloak, alias)
    if found is not None and found.get("description") == _DONE:
        return str(found["id"])
    if found is not None:
        await keycloak.admin.a_delete_authentication_flow(found["id"])
    body = {"alias": alias, "providerId": "basic-flow", "topLevel": True, "builtIn": False, "description": "unfinished"}
    await keycloak.admin.a_create_authentication_flow(body)
    await _add_steps(keycloak, alias, steps)
    made = await _find(keycloak, alias)
    assert made is not None
    await keycloak.put(f"authentication/flows/{made['id']}", {**made, "description": _DONE})
    return str(made["id"])


async def _add_steps(keycloak: Keycloak, flow: str, steps: tuple[_Step, ...]) -> None:
    for number, step in enumerate(steps, start=1):
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
            config = {"alias": f"{flow} {number} {step.provider}", "config": dict(step.config)}
            await keycloak.admin.a_create_execution_config(added["id"], config)
        if step.steps:
            await _add_steps(keycloak, step.name, step.steps)
