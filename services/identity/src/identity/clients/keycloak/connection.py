"""The connection to Keycloak's admin API, and the translation of its errors."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from keycloak import KeycloakAdmin
from keycloak.exceptions import KeycloakConnectionError, KeycloakError
from servicekit.errors import Unavailable

from identity.clients.provider import ProviderRefused

Json = dict[str, Any]


class Keycloak:
    """A signed-in connection to a realm's admin API."""

    def __init__(self, admin: KeycloakAdmin, realm: str) -> None:
        self.admin = admin
        self.realm = realm

    async def get(self, path: str, **query: Any) -> Any:
        """GET of the realm's admin API at `path`; None for 404. For what the library has no method. Raises KeycloakError."""
        answer = await self.admin.connection.a_raw_get(f"admin/realms/{self.realm}/{path}", **query)
        if answer.status_code == 404:
            return None
        if answer.is_error:
            raise KeycloakError(answer.text, answer.status_code)
        return answer.json()

    async def put(self, path: str, body: Any) -> None:
        """PUT of the realm's admin API at `path`. Raises KeycloakError."""
        answer = await self.admin.connection.a_raw_put(f"admin/realms/{self.realm}/{path}", data=json.dumps(body))
        if answer.is_error:
            raise KeycloakError(answer.text, answer.status_code)

    async def delete(self, path: str) -> None:
        """DELETE of the realm's admin API at `path`; 404 is a success. Raises KeycloakError."""
        answer = await self.admin.connection.a_raw_delete(f"admin/realms/{self.realm}/{path}")
        if answer.is_error and answer.status_code != 404:
            raise KeycloakError(answer.text, answer.status_code)

    async def find_client(self, client_id: str) -> Json | None:
        """The client of this `clientId`; None when there is none."""
        found: list[Json] = await self.get("clients", clientId=client_id)
        return found[0] if found else None


@asynccontextmanager
async def connect(
    url: str, realm: str, credentials: Mapping[str, str], *, admin_realm: str | None = None, timeout_seconds: int = 10
) -> AsyncGenerator[Keycloak]:
    """Opens a connection. `credentials`: `username` and `password`, or `client_id` and `client_secret_key`, of `admin_realm`
    (None: the realm itself). Keycloak's errors in the block become ProviderRefused, or Unavailable when it cannot be reached,
    fails, or does not let us in."""
    admin = KeycloakAdmin(
        server_url=url.rstrip("/") + "/",
        realm_name=realm,
        user_realm_name=admin_realm or realm,
        timeout=timeout_seconds,
        # Loading the certificates takes longer than a call, and plain HTTP does not need them.
        verify=url.startswith("https:"),
        **dict(credentials),  # pyright: ignore[reportArgumentType]
    )
    try:
        yield Keycloak(admin, realm)
    except KeycloakConnectionError as error:
        raise Unavailable("keycloak-away", "Keycloak cannot be reached.", retry_after=5) from error
    except KeycloakError as error:
        status = error.response_code or 503
        if status >= 500 or status in (401, 403, 429):
            raise Unavailable(
                "keycloak-ails", f"Keycloak answered {status}: {_error_text(error)}", retry_after=5
            ) from error
        raise ProviderRefused("keycloak-refused", f"Keycloak refuses it: {_error_text(error)}") from error
    finally:
        await admin.connection.aclose()
        await admin.connection.keycloak_openid.connection.aclose()


def _error_text(error: KeycloakError) -> str:
    raw: Any = error.error_message
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300]
    if isinstance(answer, dict):
        fields: dict[str, Any] = answer
        parts = [
            str(fields[name]) for name in ("field", "errorMessage", "error", "error_description") if name in fields
        ]
        return ": ".join(parts)[:300] or text[:300]
    return text[:300]
