"""The suite on the real stack: the same users and calls, through Envoy, with Keycloak's tokens."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from identity.clients import keycloak
from identity.model.applications import Account
from keycloak.exceptions import KeycloakError
from testkit.programs.keycloak import ADMIN
from testkit.stack import Stack

from tests.flow.suite import PASSWORD, PLAIN, Suite

CLIENT = "flow-test"
PLATFORM_ADMIN = "platform-admin"
# For tests alone: people are signed in without a browser.
DIRECT_GRANT = {
    "clientId": CLIENT, "protocol": "openid-connect", "enabled": True, "publicClient": True, "standardFlowEnabled": False,
    "directAccessGrantsEnabled": True, "defaultClientScopes": ["basic", "uplift-api"],
    "optionalClientScopes": ["organization"],
}  # fmt: skip


class StackSuite(Suite):
    def __init__(self, stack: Stack) -> None:
        """A stack that has been started."""
        self.stack = stack
        self._tokens: dict[str, tuple[str, float]] = {}
        # Keycloak takes two logins of a person at the same moment for an attack.
        self._signing_in = threading.Lock()
        self._loop = asyncio.Runner()
        credentials = {"username": ADMIN, "password": ADMIN}
        self._entered = keycloak.connect(stack.keycloak.url, "uplift", credentials, admin_realm="master")
        self._admin = self._loop.run(self._entered.__aenter__())
        self._at_keycloak(lambda at: at.admin.a_create_client(DIRECT_GRANT, skip_exists=True))
        self._set_password(PLATFORM_ADMIN)

    @property
    def url(self) -> str:
        return self.stack.url

    def _at_keycloak(self, work: Callable[[keycloak.Keycloak], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work(self._admin)

        return self._loop.run(run())

    def _set_password(self, username: str) -> str:
        async def work(at: keycloak.Keycloak) -> str:
            found = await keycloak.find_account(at, username)
            assert found is not None
            await at.admin.a_set_user_password(found["id"], PASSWORD, temporary=False)
            return str(found["id"])

        return self._at_keycloak(work)

    def close(self) -> None:
        self._loop.run(self._entered.__aexit__(None, None, None))
        self._loop.close()

    def create_account(self, username: str, tenant: str) -> str:
        account = Account(username=username, display_name=username.title())
        try:
            self._at_keycloak(lambda at: keycloak.ensure_account(at, tenant, account))
        except KeycloakError:
            # Identity was making the tenant's organization at the same moment; now it is there.
            self._at_keycloak(lambda at: keycloak.ensure_account(at, tenant, account))
        return self._set_password(username)

    def token(self, username: str) -> str:
        with self._signing_in:
            return self._token(username)

    def _token(self, username: str) -> str:
        username = {"platform": PLATFORM_ADMIN}.get(username, username)
        token, expires = self._tokens.get(username, ("", 0.0))
        if time.monotonic() > expires:
            form = {
                "grant_type": "password", "client_id": CLIENT, "scope": "organization", "username": username,
                "password": PASSWORD,
            }  # fmt: skip
            # Not through Envoy: the chaos tests must be able to sign in while it is down.
            url = f"{self.stack.keycloak.url}/realms/uplift/protocol/openid-connect/token"
            answer = httpx.post(url, data=form, timeout=20, verify=PLAIN)
            assert answer.status_code == 200, answer.text
            token = str(answer.json()["access_token"])
            self._tokens[username] = (token, time.monotonic() + 200)
        return token

    def lag(self) -> dict[str, dict[str, int]]:
        return self.stack.lag()
