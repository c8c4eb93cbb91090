"""The embedded OpenID Connect provider as login provider, by its admin API."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import BaseModel
from servicekit.errors import Conflict, Unavailable

from identity.clients.provider import ExistingAccount, Provider, ProviderRefused
from identity.model.applications import (
    Account,
    Application,
    IdentityProvider,
    Machine,
    OidcApplication,
    SamlApplication,
    application_id,
)

_TIMEOUT_SECONDS = 10


class EmbeddedProvider(Provider):
    """`url` is its issuer. It supports OpenID Connect with accounts of its own; neither SAML nor brokered providers."""

    def require_supported(self, spec: Application | IdentityProvider) -> None:
        """Raises Conflict for SAML applications and for identity providers."""
        if not isinstance(spec, OidcApplication | Machine):
            what = "SAML 2.0" if isinstance(spec, SamlApplication) else "Signing in at a tenant's own provider"
            raise Conflict(
                "needs-keycloak",
                f"{what} needs Keycloak. This installation has the embedded provider, which speaks OpenID Connect to "
                "this machine; for the other run the real stack: `make stack` in the project's folder.",
            )

    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None:
        """Does nothing: the provider has no organizations, only a tenant on each account and client."""

    async def ensure_application(
        self, tenant: str, slug: str, application: Application, *, secret: str | None
    ) -> str | None:
        """Creates or updates the client. Raises Conflict for SAML."""
        self.require_supported(application)
        client_id = application_id(tenant, slug, application)
        body: dict[str, Any] = {"tenant": tenant, "secret": secret, "grants": ["client_credentials"]}
        if isinstance(application, OidcApplication):
            body |= {
                "public": application.public,
                "grants": ["authorization_code", "refresh_token"],
                "redirect_uris": application.redirect_uris,
                "post_logout_redirect_uris": application.post_logout_redirect_uris,
                "backchannel_logout_uri": application.back_channel_logout_uri,
            }
        async with self._connect() as http:
            sub = str(_parse_response(await http.put(f"clients/{client_id}", json=body))["sub"])
        return sub if isinstance(application, Machine) else None

    async def remove_application(self, tenant: str, slug: str, application: Application) -> None:
        """Removes the client, if it exists."""
        client_id = application_id(tenant, slug, application)
        async with self._connect() as http:
            _check_deleted(await http.delete(f"clients/{client_id}", params={"tenant": tenant}))

    async def ensure_broker(self, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None:
        """Raises Conflict: it has no brokered providers."""
        self.require_supported(provider)

    async def remove_broker(self, tenant: str) -> None:
        """Does nothing: it has no brokered providers."""

    async def find_account(self, username: str) -> ExistingAccount | None:
        """The account of this username; None when there is none."""
        async with self._connect() as http:
            answer = await http.get(f"accounts/{username}")
            if answer.status_code == 404:
                return None
            found = _parse_response(answer)
            return ExistingAccount(str(found["sub"]), str(found["tenant"]))

    async def ensure_account(self, tenant: str, account: Account, *, password: str | None) -> str:
        """Creates, updates and enables the account; a linked one is let into the tenant. Returns its `sub`."""
        async with self._connect() as http:
            if account.linked:
                response = await http.put(f"accounts/{account.username}/tenants/{tenant}")
            else:
                body = {
                    "tenant": tenant,
                    "display_name": account.display_name,
                    "email": account.email,
                    "temporary_password": password,
                }
                response = await http.put(f"accounts/{account.username}", json=body)
            return str(_parse_response(response)["sub"])

    async def close_account(self, tenant: str, account: Account) -> None:
        """Disables the account; a linked one loses access to the tenant."""
        async with self._connect() as http:
            if account.linked:
                _check_deleted(await http.delete(f"accounts/{account.username}/tenants/{tenant}"))
            else:
                off = {"active": False, "tenant": tenant}
                _check_deleted(await http.post(f"accounts/{account.username}/active", json=off))

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[httpx.AsyncClient]:
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.client_secret}
        # Loading the certificates takes longer than a call, and plain HTTP does not need them.
        secure = self.url.startswith("https:")
        async with httpx.AsyncClient(base_url=self.url, timeout=_TIMEOUT_SECONDS, verify=secure) as http:
            try:
                token = _parse_response(await http.post("token", data=form))["access_token"]
                http.headers["authorization"] = f"Bearer {token}"
                yield http
            except httpx.HTTPError as error:
                raise Unavailable("provider-away", "The embedded provider cannot be reached.", retry_after=5) from error
            except (ValueError, KeyError) as error:
                detail = "The embedded provider's answer cannot be understood."
                raise Unavailable("provider-ails", detail, retry_after=5) from error


class _Fault(BaseModel):
    loc: list[str | int]
    msg: str


class _Problem(BaseModel):
    detail: str
    errors: list[_Fault] = []

    def __str__(self) -> str:
        return " ".join([self.detail, *(f"{'.'.join(map(str, each.loc))}: {each.msg}." for each in self.errors)])


def _check_deleted(answer: httpx.Response) -> None:
    """Raises as `_parse_response` does, except when there was nothing to delete."""
    if answer.status_code != 404:
        _parse_response(answer)


def _parse_response(answer: httpx.Response) -> dict[str, Any]:
    """The response's JSON. Raises ProviderRefused; Unavailable when the provider fails; ValueError when it is not JSON."""
    if answer.status_code >= 500 or answer.status_code in (401, 403, 429):
        raise Unavailable("provider-ails", f"The embedded provider answered {answer.status_code}.", retry_after=5)
    if answer.is_error:
        raise ProviderRefused("provider-refused", str(_Problem.model_validate_json(answer.content)))
    return answer.json() if answer.content else {}
