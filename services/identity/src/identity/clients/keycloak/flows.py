"""The authentication flows of a tenant: the steps of a login, and who is refused."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from keycloak.exceptions import KeycloakError

from identity.clients.keycloak.clients import API_SCOPE, ensure_application_scopes
from identity.clients.keycloak.connection import Json, Keycloak
from identity.clients.keycloak.organizations import GUEST_ROLE, HOME_TENANT_ATTRIBUTE, ensure_member_role, member_role
from identity.model.documents import compute_digest

ALTERNATIVE, REQUIRED, CONDITIONAL = "ALTERNATIVE", "REQUIRED", "CONDITIONAL"
FlowKind = Literal["gate", "linking", "arrival"]
_MEMBERS_ONLY = "Members of the organization only"
_NOT_A_MEMBER = "This application belongs to another organization."
_GUEST_ELSEWHERE = "This account belongs to several organizations: sign in with its password here."


@dataclass(frozen=True)
class _Execution:
    """One execution of a flow, or with `steps` a subflow. `config` are keys and values."""

    requirement: str
    provider: str = ""
    name: str = ""
    steps: tuple["_Execution", ...] = ()
    config: tuple[tuple[str, str], ...] = ()


async def ensure_browser_flow(keycloak: Keycloak, tenant: str) -> str:
    """The id of the browser flow of the tenant's applications: first the usual login, by session or by form, then a check of the
    membership. The check is a subflow of its own, since an existing session would skip it within the login."""
    sign_in = _Execution(
        REQUIRED,
        name="sign in",
        steps=(
            _Execution(ALTERNATIVE, "auth-cookie"),
            _Execution(ALTERNATIVE, "identity-provider-redirector"),
            _Execution(
                ALTERNATIVE,
                name="form",
                steps=(_Execution(REQUIRED, "auth-username-password-form"), _second_factor()),
            ),
        ),
    )
    gate = await _ensure_flow(keycloak, tenant, "gate", (sign_in, _members_only(tenant)))
    return str(gate["id"])


async def ensure_first_login_flow(keycloak: Keycloak, tenant: str) -> str:
    """The alias of the flow for the first login from the tenant's own provider, which links it to an existing account. Only
    identity creates accounts: one created by a login would belong to nobody, and take a username or address."""
    linking = await _ensure_flow(
        keycloak,
        tenant,
        "linking",
        (
            _Execution(REQUIRED, "idp-detect-existing-broker-user"),
            _Execution(REQUIRED, "idp-confirm-link"),
            _Execution(
                REQUIRED, name="proof", steps=(_Execution(REQUIRED, "idp-username-password-form"), _second_factor())
            ),
            *_own_people_only(tenant),
        ),
    )
    return str(linking["alias"])


async def ensure_post_login_flow(keycloak: Keycloak, tenant: str) -> str:
    """The alias of the flow after each login from the tenant's own provider. Keycloak does not resume the browser flow that sent
    the browser there, so its membership check is skipped; this flow admits to the portal and the tenant's applications only.
    It checks the account each time, since a link stays when the account is no longer the tenant's alone."""
    scopes = (API_SCOPE, *(await ensure_application_scopes(keycloak, tenant)).values())
    not_an_application = tuple(
        _Execution(REQUIRED, "conditional-client-scope", config=(("client_scope", scope), ("negate", "true")))
        for scope in scopes
    )
    arrival = await _ensure_flow(
        keycloak,
        tenant,
        "arrival",
        (
            _Execution(REQUIRED, "allow-access-authenticator"),
            _deny_step("applications only", *not_an_application),
            *_own_people_only(tenant),
        ),
    )
    return str(arrival["alias"])


async def delete_flows(keycloak: Keycloak, tenant: str, kind: FlowKind, *, except_flow: str | None = None) -> None:
    """Deletes the tenant's flows of a kind, except the one of this id or alias and those that are still in use."""
    without_digest = f"tenant-{tenant}" if kind == "gate" else f"tenant-{tenant}-{kind}"
    flows: list[Json] = await keycloak.get("authentication/flows")
    for flow in flows:
        ours = flow["alias"] == without_digest or flow["alias"].startswith(f"tenant {tenant} {kind} ")
        if not ours or except_flow in (flow["id"], flow["alias"]):
            continue
        try:
            await keycloak.delete(f"authentication/flows/{flow['id']}")
        except KeycloakError as error:
            # Keycloak answers 500 when the flow is still in use.
            if error.response_code != 500:
                raise


def _members_only(tenant: str) -> _Execution:
    no_member = (("condUserRole", member_role(tenant)), ("negate", "true"))
    return _deny_step("members only", _Execution(REQUIRED, "conditional-user-role", config=no_member))


def _own_people_only(tenant: str) -> tuple[_Execution, ...]:
    """Admits members whose account is this tenant's alone: the tenant's own provider is trusted for no others. Whoever runs it
    could otherwise sign in as somebody of another tenant."""
    of_another = (("attribute_name", HOME_TENANT_ATTRIBUTE), ("attribute_expected_value", tenant), ("not", "true"))
    a_guest = (("condUserRole", GUEST_ROLE),)
    return (
        _deny_step(
            "guests by password",
            _Execution(REQUIRED, "conditional-user-role", config=a_guest),
            message=_GUEST_ELSEWHERE,
        ),
        _deny_step("own accounts only", _Execution(REQUIRED, "conditional-user-attribute", config=of_another)),
        _members_only(tenant),
    )


def _second_factor() -> _Execution:
    return _Execution(
        CONDITIONAL,
        name="one-time password",
        steps=(_Execution(REQUIRED, "conditional-user-configured"), _Execution(REQUIRED, "auth-otp-form")),
    )


def _deny_step(name: str, *conditions: _Execution, message: str = _NOT_A_MEMBER) -> _Execution:
    """Refuses whoever meets all the conditions, with this message."""
    denied = _Execution(REQUIRED, "deny-access-authenticator", config=(("denyErrorMessage", message),))
    return _Execution(CONDITIONAL, name=name, steps=(*conditions, denied))


async def _find(keycloak: Keycloak, alias: str) -> Json | None:
    flows: list[Json] = await keycloak.get("authentication/flows")
    return next((each for each in flows if each["alias"] == alias), None)


async def _ensure_flow(keycloak: Keycloak, tenant: str, kind: FlowKind, steps: tuple[_Execution, ...]) -> Json:
    """Creates the flow, unless it is complete. Its alias has a digest of its steps, so that changed steps make a new flow, which is
    complete before anything uses it. An incomplete one is created anew: nothing uses it yet."""
    alias = f"tenant {tenant} {kind} {compute_digest([asdict(each) for each in steps])[:12]}"
    found = await _find(keycloak, alias)
    if found is not None and found.get("description") == _MEMBERS_ONLY:
        return found
    # Keycloak treats a condition on a missing role as not met, even when it is negated: everybody would pass.
    await ensure_member_role(keycloak, tenant)
    if found is not None:
        await keycloak.admin.a_delete_authentication_flow(found["id"])
    body = {"alias": alias, "providerId": "basic-flow", "topLevel": True, "builtIn": False, "description": "unfinished"}
    await keycloak.admin.a_create_authentication_flow(body)
    await _add_steps(keycloak, alias, steps)
    made = await _find(keycloak, alias)
    assert made is not None
    await keycloak.put(f"authentication/flows/{made['id']}", {**made, "description": _MEMBERS_ONLY})
    return made


async def _add_steps(keycloak: Keycloak, flow: str, steps: tuple[_Execution, ...]) -> None:
    for number, step in enumerate(steps, start=1):
        inner = f"{flow} {step.name}"
        if step.steps:
            body = {"alias": inner, "type": "basic-flow", "provider": "registration-page-form", "description": ""}
            await keycloak.admin.a_create_authentication_flow_subflow(body, flow)
        else:
            await keycloak.admin.a_create_authentication_flow_execution({"provider": step.provider}, flow)
        executions: list[Json] = await keycloak.admin.a_get_authentication_flow_executions(flow)
        added: dict[str, Any] = next(
            each
            for each in reversed(executions)
            if (each["displayName"] == inner if step.steps else each.get("providerId") == step.provider)
        )
        await keycloak.admin.a_update_authentication_flow_executions({**added, "requirement": step.requirement}, flow)
        if step.config:
            config = {"alias": f"{flow} {number} {step.provider}", "config": dict(step.config)}
            await keycloak.admin.a_create_execution_config(added["id"], config)
        if step.steps:
            await _add_steps(keycloak, inner, step.steps)
